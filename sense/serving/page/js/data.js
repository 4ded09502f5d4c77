// The lists of data: their kind, filters and pages.

const PAGE = 25;

function data() {
  let kind = "pairs";
  let offset = 0;
  let shownIds = [];
  let asked = 0;
  let opened = 0;
  let cameFrom = null;
  let timer = 0;
  const choose = tabs(document.querySelector(".tabs.minor"), (id) => {
    location.hash = `data/${id.slice(4)}`;
  });
  const [rows, search, tag] = ["rows", "search", "tag"].map(byId);

  async function load(announce = true) {
    const number = (asked += 1);
    const query = new URLSearchParams({ offset: String(offset), limit: String(PAGE) });
    if (search.value.trim()) query.set("search", search.value.trim());
    if (tag.value) query.set(KINDS_OF_DATA[kind].tag, tag.value);
    rows.setAttribute("aria-busy", "true");
    try {
      const found = await call("GET", `v1/data/${kind}?${query}`);
      if (number !== asked) return;
      shownIds = found.items.map((item) => item.id);
      fillTags(found.counts);
      rows.replaceChildren(...listing(found));
      if (announce) say(summary(found));
    } catch (problem) {
      if (number === asked) rows.replaceChildren(problemNotice(problem, retried(byId(`tab-${kind}`), load)));
    } finally {
      if (number === asked) rows.setAttribute("aria-busy", "false");
    }
  }

  function fillTags(counts) {
    const value = tag.value;
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const options = [
      el("option", { value: "" }, `all (${total.toLocaleString("en")})`),
      ...Object.entries(counts).map(([name, count]) =>
        el("option", { value: name }, `${VERDICTS[name] ?? name} (${count.toLocaleString("en")})`),
      ),
    ];
    if (value && !(value in counts)) options.push(el("option", { value }, `${VERDICTS[value] ?? value} (0)`));
    tag.replaceChildren(...options);
    tag.value = value;
  }

  function summary({ items, total, searched, rows: all }) {
    if (!total) return searched < all ? `Nothing in the first ${searched.toLocaleString("en")} rows` : "Nothing found";
    const part = searched < all ? ` found in the first ${searched.toLocaleString("en")} of ${all.toLocaleString("en")} rows` : "";
    const from = offset + 1;
    return items.length
      ? `${from.toLocaleString("en")}–${(offset + items.length).toLocaleString("en")} of ${total.toLocaleString("en")}${part}`
      : `${total.toLocaleString("en")}${part}`;
  }

  function listing(found) {
    const again = async (name) => {
      await load();
      const next = rows.querySelector(`.${name}:enabled`) ?? rows.querySelector(".pager button:enabled");
      (next ?? byId(`tab-${kind}`)).focus({ preventScroll: true }); // the button that was pressed has disappeared
    };
    const go = (to, name) => async () => {
      offset = Math.max(0, to);
      await again(name);
      byId("panel-rows").scrollIntoView({ block: "start" });
    };
    const turn = (text, to, possible) =>
      el(`button.plain.${text}`, { type: "button", disabled: !possible, onclick: go(to, text) }, text);
    const several = offset > 0 || found.total > PAGE;
    const pager = (label) =>
      el(
        "nav.pager",
        { "aria-label": label },
        el("span.count", {}, summary(found)),
        found.searched < found.rows
          ? el("button.plain.on", { type: "button", onclick: () => again("on") }, "Search on")
          : null,
        el("span.space"),
        several ? turn("Previous", offset - PAGE, offset > 0) : null,
        several ? turn("Next", offset + PAGE, offset + PAGE < found.total) : null,
      );
    const parts = [found.missing ? el("div.notice", {}, el("p", {}, shown(found.missing))) : null, badLines(found)];
    if (!found.missing) parts.push(pager("Pages"));
    if (found.items.length)
      parts.push(el("ol.data", {}, ...found.items.map((item, at) => KINDS_OF_DATA[kind].item(item, found.items[at - 1]))));
    if (found.items.length > 8) parts.push(pager("Pages, below the list"));
    return parts.filter(Boolean);
  }

  function badLines({ bad, bad_count: count, file }) {
    if (!count) return null;
    return el(
      "details.notice",
      {},
      el("summary", {}, `${many(count, "line")} of ${shown(file)} cannot be read and ${count === 1 ? "is" : "are"} left out`),
      el("ul", {}, ...bad.map((line) => el("li", {}, `line ${line.line}: ${shown(line.message)}`))),
    );
  }

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      offset = 0;
      load();
    }, 300);
  });
  tag.addEventListener("change", () => {
    offset = 0;
    load();
  });
  byId("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    offset = 0;
    load();
  });

  async function openPair(id) {
    const number = (opened += 1);
    const place = byId("pair");
    byId("listing").hidden = true;
    place.hidden = false;
    place.setAttribute("aria-busy", "true");
    if (!place.firstChild) place.replaceChildren(el("p.note", {}, "Executing both…"));
    try {
      if (!shownIds.length) await load(false);
      const found = await call("GET", `v1/data/pairs/${encodeURIComponent(id)}`);
      if (number !== opened) return;
      const at = kind === "pairs" ? shownIds.indexOf(id) : -1;
      place.replaceChildren(
        ...pairView(found, { before: at > 0 ? shownIds[at - 1] : null, after: at >= 0 ? (shownIds[at + 1] ?? null) : null }),
      );
      cameFrom = id;
      byId("pair-title").focus({ preventScroll: true });
      scrollTo(0, 0);
    } catch (problem) {
      if (number === opened)
        place.replaceChildren(
          el("nav.crumbs", {}, el("a", { href: "#data/pairs" }, "All pairs")),
          problemNotice(problem, problem.status === 404 ? null : retried(byId("content"), () => openPair(id))),
        );
    } finally {
      if (number === opened) place.removeAttribute("aria-busy");
    }
  }

  return {
    /** Shows the kind of data or the pair that the address names. */
    show(name, id) {
      const next = name in KINDS_OF_DATA ? name : "pairs";
      choose(`tab-${next}`);
      const changed = next !== kind || !rows.firstChild;
      if (next !== kind) {
        kind = next;
        offset = 0;
        shownIds = [];
        tag.replaceChildren();
        rows.replaceChildren();
      }
      byId("panel-rows").setAttribute("aria-labelledby", `tab-${next}`);
      byId("rows-about").textContent = KINDS_OF_DATA[kind].note;
      byId("tag-label").textContent = KINDS_OF_DATA[kind].tag === "verdict" ? "Verdict" : "Hardness";
      if (id) {
        openPair(id);
        return;
      }
      opened += 1;
      byId("pair").hidden = true;
      byId("pair").replaceChildren();
      byId("listing").hidden = false;
      if (changed) load();
      else if (cameFrom !== null) document.getElementById(`row-${cameFrom}`)?.focus();
      cameFrom = null;
    },
  };
}

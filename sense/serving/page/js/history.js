// The history of questions in this browser: questions and SQL, never rows.

const MOST_KEPT = 50;
const HISTORY = "sense.history";

function readHistory() {
  try {
    const found = JSON.parse(kept.get(HISTORY) ?? "[]");
    return Array.isArray(found)
      ? found.filter((entry) => typeof entry?.question === "string" && typeof entry?.database === "string").slice(0, MOST_KEPT)
      : [];
  } catch {
    return [];
  }
}

/** The list; `back` is called with the chosen entry. */
function history(back) {
  const list = byId("history");
  let current = 0;
  let cleared = null; // the entries that Undo restores

  function show(focus = false) {
    const entries = readHistory();
    current = Math.min(current, Math.max(0, entries.length - 1));
    list.replaceChildren(
      ...entries.map((entry, at) =>
        el(
          "li",
          {},
          el(
            "button.entry",
            {
              type: "button",
              tabindex: at === current ? "0" : "-1",
              onclick: () => {
                current = at;
                back(entry);
                show(true);
              },
            },
            el("span.question", {}, shown(entry.question, 300)),
            el(
              "span.about",
              {},
              [shown(entry.database), shown(entry.model ?? ""), when(entry.at), entry.sql ? "" : "no answer"].filter(Boolean).join(" · "),
            ),
          ),
        ),
      ),
    );
    byId("history-clear").hidden = !entries.length && cleared === null;
    byId("history-clear").textContent = cleared === null ? "Clear" : "Undo";
    const note = kept.lasting
      ? "Questions and their SQL are kept in this browser, rows are not."
      : "This browser keeps nothing for pages: the list goes when you close the page.";
    byId("history-note").textContent = entries.length && kept.lasting ? "" : note;
    if (focus) list.children[current]?.firstChild.focus({ preventScroll: true });
  }
  list.addEventListener("keydown", (event) => {
    const items = [...list.querySelectorAll("button")];
    arrows(event, items, ["ArrowUp", "ArrowDown"], (item) => {
      items[current].tabIndex = -1;
      current = items.indexOf(item);
      item.tabIndex = 0;
    });
  });
  byId("history-clear").addEventListener("click", () => {
    const undone = cleared;
    cleared = undone === null ? kept.get(HISTORY) : null;
    if (undone === null) kept.drop(HISTORY);
    else kept.set(HISTORY, undone);
    current = 0;
    show();
    say(undone === null ? "History cleared" : "History is back");
  });
  show();
  return {
    add(entry) {
      const same = (other) =>
        other.question === entry.question && other.database === entry.database && (other.hint ?? "") === entry.hint;
      const entries = [entry, ...readHistory().filter((other) => !same(other))].slice(0, MOST_KEPT);
      kept.set(HISTORY, JSON.stringify(entries));
      current = 0;
      cleared = null;
      show();
    },
  };
}

function when(time) {
  if (typeof time !== "number") return "";
  const then = new Date(time);
  const today = new Date().toDateString() === then.toDateString();
  return today
    ? then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : then.toLocaleDateString([], { day: "numeric", month: "short" });
}

// The view of one pair: why the rejected SQL is wrong.

function pairView(pair, around) {
  const step = (id, text, rel) =>
    id ? el("a", { href: link(id), rel }, text) : el("span.soft", { "aria-disabled": "true" }, text);
  return [
    el(
      "nav.crumbs",
      { "aria-label": "Pairs" },
      el("a", { href: "#data/pairs" }, "All pairs"),
      el("span.space"),
      step(around.before, "Previous", "prev"),
      step(around.after, "Next", "next"),
    ),
    el("h1.question", { id: "pair-title", tabindex: "-1" }, shown(missingQuestion(pair))),
    about(pair.database, pair.id, `strategy ${pair.strategy}`),
    pair.evidence ? el("p.about", {}, "Hint: ", shown(pair.evidence)) : null,
    el(
      "section.why",
      { "aria-labelledby": "why-title" },
      el("h2", { id: "why-title" }, "Why the rejected SQL is wrong ", badge(pair.verdict)),
      el("ul", {}, ...pair.why.map((sentence) => el("li", {}, shown(sentence)))),
    ),
    el("p.note", {}, "Marked: what only one of the two has."),
    el("div.sides", {}, side(pair.chosen, "Chosen", "rejected", "ins"), side(pair.rejected, "Rejected", "chosen", "del")),
    pair.gold && pair.gold !== pair.chosen.sql
      ? el("section", {}, el("h2", {}, "Gold"), sqlBlock(pair.gold, { title: "The example’s own SQL", copy: true }))
      : null,
    pair.tables.length
      ? el("details.schema.wide", {}, el("summary", {}, `Schema of ${shown(pair.database)}`), schemaView(pair))
      : null,
  ].filter(Boolean);
}

function side(half, title, other, mark) {
  const only =
    half.only_count === null
      ? ""
      : half.only_count === 0
        ? `${half.row_count === 1 ? "" : "all of them "}in the ${other} result too`
        : half.only_count === half.row_count
          ? `${half.row_count === 1 ? "not" : "none of them"} in the ${other} result`
          : `${half.only_count.toLocaleString("en")} not in the ${other} result`;
  const cut = half.truncated ? `, ${half.rows.length.toLocaleString("en")} shown` : "";
  const caption = `${many(half.row_count, "row")}${cut}${half.row_count && only ? `; ${only}` : ""}`;
  return el(
    "section.side",
    { "aria-label": title },
    sqlBlock(half.sql, { title, pieces: half.pieces, mark, copy: true }),
    half.outcome === "ran"
      ? el(
          "div",
          {},
          el("p.count", {}, caption),
          half.rows.length
            ? resultTable({ columns: half.columns, rows: half.rows, caption: `${title}: ${caption}`, only: half.only, other })
            : null,
        )
      : el(
          "div.notice",
          {},
          el("p", {}, `${OUTCOMES[half.outcome][0].toUpperCase()}${OUTCOMES[half.outcome].slice(1)}: `, shown(half.detail)),
        ),
  );
}

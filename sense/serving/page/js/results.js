// The rows of a result, as a table or as a single value.

const LONGEST_CELL = 400; // characters
const MOST_SHOWN = 1000; // rows put into the page at a time

/** A result as a table that scrolls by itself. `only` are rows to mark, which the result named `other` does not have. */
function resultTable({ columns, rows, caption, only = [], other = "" }) {
  const marked = new Set(only);
  const numeric = columns.map(
    (_, at) =>
      rows.some((row) => typeof row[at] === "number") && rows.every((row) => row[at] === null || typeof row[at] === "number"),
  );
  const side = (at) => (numeric[at] ? { class: "num" } : {});
  const head = el(
    "tr",
    {},
    other ? el("th.mark", { scope: "col" }, el("span.unseen", {}, "Difference")) : null,
    ...columns.map((name, at) => el("th", { scope: "col", ...side(at) }, shown(name))),
  );
  const line = (row, number) =>
    el(
      marked.has(number) ? "tr.only" : "tr",
      {},
      other
        ? el(
            "td.mark",
            {},
            marked.has(number)
              ? el(
                  "span",
                  { title: `The ${other} result lacks this row` },
                  "●",
                  el("span.unseen", {}, `not in the ${other} result`),
                )
              : null,
          )
        : null,
      ...row.map((value, at) => cell(value, side(at))),
    );
  const body = el("tbody", {}, ...rows.slice(0, MOST_SHOWN).map(line));
  return el(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": caption },
    el("table.rows", {}, el("caption.unseen", {}, caption), el("thead", {}, head), body),
  );
}

function cell(value, attributes) {
  if (value === null) return el("td.null", attributes, "NULL");
  if (value === "") return el("td.null", attributes, "empty");
  const text = String(value);
  return el(
    "td",
    { ...attributes, title: text.length > LONGEST_CELL ? `${text.length.toLocaleString("en")} characters` : null },
    shown(text, LONGEST_CELL),
  );
}

/** A single value, shown large. */
function resultView({ columns, rows, row_count: count, truncated }) {
  const total = count ?? rows.length;
  if (!total) return el("p.empty", {}, "It ran and returned no rows.");
  if (total === 1 && columns.length === 1 && String(rows[0][0]).length <= 60) {
    const value = rows[0][0];
    return el(
      "p.single",
      {},
      el(value === null ? "span.value.null" : "span.value", {}, value === null ? "NULL" : shown(value)),
      el("span.label", {}, shown(columns[0])),
    );
  }
  const caption = truncated
    ? `The first ${rows.length.toLocaleString("en")} of ${truncatedCount(total, rows.length)}`
    : many(total, "row");
  return el("div", {}, el("p.count", {}, caption), resultTable({ columns, rows, caption }));
}

const truncatedCount = (total, sent) => (total > sent ? many(total, "row") : "more rows");

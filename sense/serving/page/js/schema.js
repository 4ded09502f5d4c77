// A database's tables, columns and keys.

const OPEN_LINES = 80; // with more, each table is folded and the list scrolls by itself

/** The schema as a list of tables that can be folded. */
function schemaView({ tables, foreign_keys: keys }) {
  if (!tables.length) return el("p.note", {}, "There are no tables.");
  const long = tables.reduce((lines, table) => lines + 1 + table.columns.length, 0) > OPEN_LINES;
  return el(
    long ? "div.tables.long" : "div.tables",
    {},
    ...tables.map((table) => {
      const count = many(table.columns.length, "column");
      const own = keys.filter((key) => key.table === table.name);
      const rows = table.columns.map((column) => {
        const targets = own.filter((key) => key.column === column.name).map((key) => `${key.other_table}.${key.other_column}`);
        return el(
          "li",
          {},
          el("span.column", {}, shown(column.name)),
          column.primary_key ? el("abbr.pk", { title: "primary key" }, "key") : null,
          el("span.type", {}, shown(column.type).toLowerCase()),
          ...targets.map((target) =>
            el(
              "span.target",
              {},
              el("span.unseen", {}, "refers to "),
              el("span", { "aria-hidden": "true" }, "→ "),
              shown(target),
            ),
          ),
        );
      });
      return el(
        "details",
        { open: !long },
        el(
          "summary",
          {},
          el("span.table", {}, shown(table.name)),
          el("span.n", { "aria-hidden": "true", title: count }, String(table.columns.length)),
          el("span.unseen", {}, ` ${count}`),
        ),
        el("ul.columns", {}, ...rows),
      );
    }),
  );
}

// A database's tables, columns and keys.

const OPEN_TABLES = 6; // with more, each table is folded

/** The schema as folding tables. */
function schemaView({ tables, foreign_keys: keys }) {
  if (!tables.length) return el("p.note", {}, "There are no tables.");
  return el(
    "div.tables",
    {},
    ...tables.map((table) => {
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
        { open: tables.length <= OPEN_TABLES },
        el("summary", {}, el("span.table", {}, shown(table.name)), el("span.n", {}, String(table.columns.length))),
        el("ul.columns", {}, ...rows),
      );
    }),
  );
}

// The entries of the lists of strong data, samples and pairs.

const badge = (verdict) => el(`span.badge.v-${verdict}`, {}, VERDICTS[verdict] ?? shown(verdict));
const VERDICTS = {
  match: "right",
  mismatch: "other result",
  error: "does not run",
  timeout: "too slow",
  too_large: "too large",
  rejected: "no SELECT",
  gold_error: "gold fails",
  easy: "easy",
  medium: "medium",
  hard: "hard",
  extra: "extra hard",
};

const about = (...parts) =>
  el("p.about", {}, ...parts.filter(Boolean).map((part) => (typeof part === "string" ? el("span", {}, shown(part)) : part)));
const missingQuestion = (row) => row.question || `Question ${row.example_id}, which is not among the unseen examples`;
const versus = (...lines) =>
  el(
    "div.versus",
    {},
    ...lines.map(([kind, name, sql]) => el(`div.${kind}`, {}, el("span.label", {}, name), el("code.sql", {}, ...sqlNodes(sql)))),
  );
const link = (id) => `#data/pairs/${encodeURIComponent(id)}`;

const KINDS_OF_DATA = {
  pairs: {
    tag: "verdict",
    note: "What preference training learns from: on one question, a right SQL chosen over a wrong one.",
    item: (row) =>
      el(
        "li",
        {},
        el("h3", {}, el("a", { href: link(row.id), id: `row-${row.id}` }, shown(missingQuestion(row)))),
        about(badge(row.verdict), row.database, row.id),
        versus(["right", "chosen", row.chosen], ["wrong", "rejected", row.rejected]),
      ),
  },
  samples: {
    tag: "verdict",
    note: "What the sampled model (the weak one, or the student itself) wrote for questions that it had not seen, each SQL executed against the right one, the gold.",
    item: (row, before) => {
      const first = row.example_id !== before?.example_id; // samples of a question follow one another: show the question once
      const parts = [
        badge(row.verdict),
        row.verdict === "mismatch" && row.detail ? `other ${row.detail}` : row.correct ? "" : row.detail,
        row.vacuous ? "both results are empty" : "",
        first ? row.database : "",
        row.id,
      ];
      const lines = [
        first && row.gold ? ["right", "gold", row.gold] : null,
        [row.correct ? "right" : "wrong", "sample", row.sql],
      ];
      return el(
        first ? "li" : "li.more",
        {},
        first ? el("h3", {}, shown(missingQuestion(row))) : null,
        first && row.gold ? versus(lines[0]) : null,
        versus(lines[1]),
        about(...parts),
      );
    },
  },
  strong: {
    tag: "hardness",
    note: "What supervised training learns from: questions with the SQL that a strong teacher wrote, executed and without repetitions.",
    item: (row) =>
      el(
        "li",
        {},
        el("h3", {}, shown(row.question)),
        about(badge(row.hardness), row.database, row.domain, row.source, row.id),
        row.evidence ? el("p.about", {}, "Hint: ", shown(row.evidence)) : null,
        el("code.sql", {}, ...sqlNodes(row.sql)),
      ),
  },
};

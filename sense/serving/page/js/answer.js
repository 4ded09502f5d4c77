// An answer: the SQL, its rows, the explanation and the candidates.

function answerView(answer, asked, offers) {
  return el(
    "article.card",
    { "aria-labelledby": "answer-title" },
    el("h2.question", { id: "answer-title" }, shown(asked.question)),
    asked.hint ? el("p.about", {}, "Hint: ", shown(asked.hint)) : null,
    answer.abstained
      ? abstention(answer)
      : sqlBlock(answer.sql, { title: `${dialectName(answer.dialect)} · ${shown(answer.database)}`, copy: true }),
    answer.columns ? resultView(answer) : null,
    el("p.explanation", {}, shown(answer.explanation)),
    facts(answer),
    offers.feedback ? feedbackView(answer, asked) : null,
    candidates(answer),
  );
}

const dialectName = (dialect) => ({ sqlite: "SQLite", postgresql: "PostgreSQL", mysql: "MySQL" })[dialect] ?? shown(dialect);

function abstention(answer) {
  return el("div.notice.abstained", {}, el("h3", {}, "No answer"), el("p", {}, sentence(answer.reason)));
}

/** The version, the votes and the time of each stage. */
function facts({ model, latency_ms: latency, candidates: all }) {
  const parts = [
    ["queue", "waiting", latency.queue],
    ["model", "writing", latency.model],
    ["run", "executing", latency.execution],
  ];
  const sum = Math.max(
    1e-9,
    parts.reduce((total, [, , ms]) => total + ms, 0),
  );
  const bar = el(
    "div.latency-bar",
    { "aria-hidden": "true" },
    ...parts.map(([kind, , ms]) => {
      const span = el(`span.l-${kind}`);
      span.style.flexGrow = String(ms / sum);
      return span;
    }),
  );
  const winner = all.find((candidate) => candidate.chosen);
  const entry = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
  return el(
    "dl.facts",
    {},
    entry("Model", shown(`${model.name} ${model.version}`)),
    all.length > 1 && winner ? entry("Votes", `${winner.votes} of ${all.length}`) : null,
    el(
      "div.latency",
      {},
      el("dt", {}, "Time"),
      el(
        "dd",
        {},
        el("span", {}, duration(latency.total)),
        bar,
        el(
          "span.legend",
          {},
          ...parts.map(([kind, name, ms]) =>
            el(`span.l-${kind}`, {}, el("i", { "aria-hidden": "true" }), `${name} ${duration(ms)}`),
          ),
        ),
      ),
    ),
  );
}

const OUTCOMES = { ran: "ran", error: "did not run", timeout: "too slow", too_large: "too large", rejected: "not executed" };

/** Every candidate with its outcome and, if it is not the answer, the reason. */
function candidates({ candidates: all, abstained }) {
  if (all.length < 2 && !abstained) return null;
  const items = all.map((candidate) =>
    el(
      candidate.chosen ? "li.chosen" : "li",
      {},
      el(
        "p.about",
        {},
        el(
          `span.badge.v-${candidate.chosen ? "match" : candidate.outcome}`,
          {},
          candidate.chosen ? "answer" : (OUTCOMES[candidate.outcome] ?? shown(candidate.outcome)),
        ),
        " ",
        fate(candidate, all),
      ),
      candidate.sql ? sqlBlock(candidate.sql) : null,
    ),
  );
  return el("details.candidates", { open: abstained }, el("summary", {}, many(all.length, "candidate")), el("ol", {}, ...items));
}

function fate({ chosen, agrees, outcome, detail, row_count: rows, votes }, all) {
  const winner = all.find((candidate) => candidate.chosen);
  const count = rows === null ? "" : `, ${many(rows, "row")}`;
  if (chosen) return `${many(votes, "vote")} of ${all.length}${count}`;
  if (agrees) return "the same result as the answer";
  if (outcome === "ran" && votes === winner?.votes) {
    return `${many(votes, "vote")} of ${all.length}${count}: as many as the answer, which was written first`;
  }
  if (outcome === "ran") return `outvoted: ${many(votes, "vote")} of ${all.length}${count}${detail ? ` (${shown(detail)})` : ""}`;
  return shown(detail);
}

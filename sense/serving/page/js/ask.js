// The form, and the question that is being answered.

function ask(past, offers) {
  const [question, hint, k, form, place, submit] = ["question", "hint", "k", "form", "answer", "submit"].map(byId);
  const folding = byId("schema").querySelector("summary");
  const most = Number(k.dataset.most);
  k.append(...Array.from({ length: most }, (_, at) => el("option", { value: String(at + 1) }, String(at + 1))));
  k.value = String(Math.min(most, Number(kept.get("sense.k") ?? 1) || 1));
  k.addEventListener("change", () => kept.set("sense.k", k.value));
  if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("shortcut").textContent = "⌘ ↵";

  const database = picker(byId("picker"), "database", (name) => {
    kept.set("sense.database", name);
    showSchema(name);
  });
  let running = null;
  let schemas = 0;

  async function showSchema(name) {
    const number = (schemas += 1);
    const body = byId("schema-body");
    body.setAttribute("aria-busy", "true");
    try {
      const found = await call("GET", `v1/databases/${encodeURIComponent(name)}`);
      if (number !== schemas) return;
      body.replaceChildren(schemaView(found));
      byId("schema-size").textContent = many(found.tables.length, "table");
    } catch (problem) {
      if (number === schemas) noSchema(problemNotice(problem, retried(folding, () => showSchema(name))));
    } finally {
      if (number === schemas) body.setAttribute("aria-busy", "false");
    }
  }

  /** Shows in the place of the schema why there is none; on a phone, the schema is folded. */
  function noSchema(notice) {
    byId("schema-body").replaceChildren(notice);
    byId("schema-size").textContent = "";
    byId("schema").open = true;
  }

  async function load() {
    try {
      const { databases } = await call("GET", "v1/databases");
      database.fill(databases.map((each) => each.name));
      const before = kept.get("sense.database");
      if (databases.length) database.take(before !== null && database.has(before) ? before : databases[0].name);
      else noSchema(el("p.note", {}, "The gateway has no database to ask."));
    } catch (problem) {
      database.fill([]);
      noSchema(problemNotice(problem, retried(folding, load)));
    }
  }

  function refuse(text, field) {
    byId("form-error").hidden = !text;
    byId("form-error").textContent = text;
    field?.focus();
    return Boolean(text);
  }

  function rest() {
    running = null;
    submit.textContent = "Ask";
    place.setAttribute("aria-busy", "false");
  }

  async function send() {
    const asked = {
      question: question.value.trim(),
      hint: byId("hint-field").hidden ? "" : hint.value.trim(),
      database: database.value,
      k: Number(k.value),
    };
    if (!asked.database && refuse("Choose a database first.", byId("database"))) return;
    if (!asked.question && refuse("Write a question first.", question)) return;
    refuse("");
    const controller = new AbortController();
    running = controller;
    const stop = waitingView(place, asked);
    submit.textContent = "Stop";
    try {
      const found = await call(
        "POST",
        "v1/sql",
        { question: asked.question, database: asked.database, evidence: asked.hint, k: asked.k, rows: true },
        controller.signal,
      );
      if (running !== controller) return; // an entry of the history has been opened meanwhile
      place.replaceChildren(answerView(found, asked, offers));
      const model = `${found.model.name} ${found.model.version}`;
      past.add({ ...asked, sql: found.sql, reason: found.reason, model, at: Date.now() });
      say(
        found.abstained
          ? `No answer. ${sentence(found.reason)}`
          : `Answered in ${duration(found.latency_ms.total)}: ${found.row_count === null ? "" : many(found.row_count, "row")}`,
      );
      byId("model").textContent = model;
    } catch (problem) {
      if (running !== controller) return;
      if (problem.name === "AbortError") place.replaceChildren(el("p.note", {}, "Stopped."));
      else if (problem instanceof Problem)
        place.replaceChildren(
          problemNotice(
            problem,
            retried(submit, () => {
              if (!running) send();
            }),
          ),
        );
      else throw problem;
    } finally {
      stop();
      if (running === controller) rest();
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else send();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!running) send();
  });
  question.addEventListener("input", () => {
    refuse("");
    grow(question);
  });
  hint.addEventListener("input", () => grow(hint));
  byId("hint-toggle").addEventListener("click", () => showHint(byId("hint-field").hidden, true));

  function showHint(show, focus = false) {
    byId("hint-field").hidden = !show;
    byId("hint-toggle").setAttribute("aria-expanded", String(show));
    byId("hint-toggle").textContent = show ? "No hint" : "Add a hint";
    if (focus) (show ? hint : question).focus();
  }

  return {
    load,
    /** Restores a question of the history: the form as it was and its SQL, without rows. */
    restore(entry) {
      running?.abort();
      rest();
      question.value = entry.question;
      hint.value = entry.hint ?? "";
      grow(question);
      showHint(Boolean(entry.hint));
      k.value = String(Math.min(most, Number(entry.k) || 1));
      const gone = !database.has(entry.database);
      if (!gone) database.take(entry.database);
      place.replaceChildren(
        el(
          "article.card",
          {},
          el("h2.question", {}, shown(entry.question)),
          entry.hint ? el("p.about", {}, "Hint: ", shown(entry.hint)) : null,
          entry.sql
            ? sqlBlock(String(entry.sql), { title: "SQL", copy: true })
            : el("div.notice.abstained", {}, el("h3", {}, "No answer"), el("p", {}, sentence(entry.reason))),
          el(
            "p.note",
            {},
            gone
              ? `The gateway no longer has ${shown(entry.database)}.`
              : "From the history, without rows. Ask again to run it now.",
          ),
        ),
      );
      form.scrollIntoView({ block: "nearest" });
      say("Brought back from the history");
    },
  };
}

function grow(field) {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, 240)}px`;
}

/** Shows that a question is in progress, and for how long; returns a function that removes it. */
function waitingView(place, asked) {
  const started = Date.now();
  const clock = el("span.clock", { "aria-hidden": "true" });
  place.setAttribute("aria-busy", "true");
  place.replaceChildren(
    el(
      "div.card.waiting",
      {},
      el("p.question", {}, shown(asked.question)),
      el("p.note", {}, asked.k > 1 ? `Writing and executing ${asked.k} candidates… ` : "Writing and executing SQL… ", clock),
      el("div.progress", { "aria-hidden": "true" }),
    ),
  );
  say("Asking");
  const timer = setInterval(() => {
    clock.textContent = `${Math.floor((Date.now() - started) / 1000)} s`;
  }, 1000);
  return () => clearInterval(timer);
}

// A person's feedback on an answer.

/** Buttons for right and wrong, the field for the right SQL, and the result of sending them. */
function feedbackView(answer, asked) {
  const written = answer.sql ?? answer.candidates[0]?.sql ?? "";
  const place = el("div.feedback");
  const status = el("p.note", { role: "status" });

  async function send(correct, corrected, again) {
    const body = {
      id: answer.id,
      question: asked.question,
      database: answer.database,
      sql: written,
      correct,
      corrected,
      evidence: asked.hint,
      model: answer.model,
    };
    place.setAttribute("aria-busy", "true");
    try {
      const stored = await call("POST", "v1/feedback", body);
      place.replaceChildren(el("p.stored", { role: "status", tabindex: "-1" }, thanks(stored, correct)));
      place.firstChild.focus();
    } catch (problem) {
      again();
      status.textContent = `${sentence(problem.message)} ${sentence(problem.fix)}`;
      status.classList.add("invalid");
    } finally {
      place.removeAttribute("aria-busy");
    }
  }

  function choose() {
    const buttons = [
      answer.sql === null
        ? null
        : el(
            "button.plain.thumb",
            {
              type: "button",
              onclick: () => {
                buttons.forEach((button) => {
                  if (button) button.disabled = true;
                });
                send(true, "", () => {
                  choose();
                  place.querySelector("button").focus();
                });
              },
            },
            icon("up"),
            "Right",
          ),
      el(
        "button.plain.thumb",
        { type: "button", onclick: correct },
        answer.sql === null ? null : icon("down"),
        answer.sql === null ? "Write the right SQL" : "Wrong",
      ),
    ];
    status.textContent = "";
    place.replaceChildren(
      el("p.ask-feedback", {}, answer.sql === null ? "Do you know the answer?" : "Is this right?"),
      el("div.buttons", {}, ...buttons.filter(Boolean)),
      status,
    );
  }

  function correct() {
    const field = el("textarea.code", {
      id: "corrected",
      rows: "4",
      spellcheck: "false",
      autocapitalize: "off",
      "aria-describedby": "corrected-note",
      oninput: () => grow(field),
    });
    field.value = written;
    const submit = el("button.primary", { type: "submit" }, "Send");
    const form = el(
      "form.correction",
      {
        novalidate: true,
        onsubmit: (event) => {
          event.preventDefault();
          submit.disabled = true;
          const text = field.value.trim();
          send(false, text === written.trim() ? "" : text, () => {
            submit.disabled = false;
          });
        },
      },
      el("label", { for: "corrected" }, "The right SQL"),
      field,
      el(
        "p.note",
        { id: "corrected-note" },
        "Change it to what would have been right. Leave it as it is if you do not know: the answer is then kept as wrong, without a right one.",
      ),
      el(
        "div.actions",
        {},
        submit,
        el(
          "button.plain",
          {
            type: "button",
            onclick: () => {
              choose();
              place.querySelector("button:last-of-type").focus();
            },
          },
          "Cancel",
        ),
      ),
      status,
    );
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.preventDefault();
        choose();
        place.querySelector("button:last-of-type").focus();
      }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        event.stopPropagation();
        form.requestSubmit();
      }
    });
    status.textContent = "";
    status.classList.remove("invalid");
    place.replaceChildren(form);
    grow(field);
    field.focus();
  }

  choose();
  return place;
}

const VERDICT_WORDS = {
  match: "it gives the right result",
  mismatch: "its result differs",
  error: "it does not run",
  timeout: "it takes too long",
  too_large: "its result is too large",
  rejected: "it is no SELECT",
  gold_error: "the right SQL does not run",
};

function thanks(stored, correct) {
  const detail = stored.detail ? ` ${sentence(stored.detail)}` : "";
  if (!stored.labelled) return `Kept.${detail}`;
  if (correct) return `Kept as a right answer to learn from.${detail}`;
  return `Kept with your SQL as the right one. The answer, executed against it: ${VERDICT_WORDS[stored.verdict] ?? shown(stored.verdict)}.`;
}

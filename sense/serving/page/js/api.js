// Requests to the gateway, their errors, and the API key.

/** A failed request. `status` is 0 if there was no response; `again` is the number of seconds after which to try again. */
class Problem extends Error {
  constructor(status, { error, message, fix = "", id = "", details = [] }, again = 0) {
    super(message);
    Object.assign(this, { status, error, fix, id, details, again });
  }
}

const AWAY = {
  error: "network",
  message: "The gateway cannot be reached.",
  fix: "Look whether it runs and whether you are online, then try again.",
};

/** The JSON of a response; prompts for a key until one is accepted. Throws Problem, or AbortError if `signal` is aborted. */
async function call(method, path, body = null, signal = undefined) {
  for (;;) {
    const problem = await attempt(method, path, body, signal);
    if (!(problem instanceof Problem)) return problem;
    if (problem.status !== 401 || !(await askForKey())) throw problem;
  }
}

/** A random name of this tab, by which a canary can give it one version of the model (`canary.assign: session`). */
function sessionId() {
  const before = session.get("sense.session");
  if (before) return before;
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  session.set("sense.session", id);
  return id;
}

async function attempt(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  const key = session.get("sense.key");
  if (key) headers.Authorization = `Bearer ${key}`;
  headers["X-Session-Id"] = sessionId();
  if (body !== null) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === null ? null : JSON.stringify(body),
      signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return new Problem(0, AWAY);
  }
  let found = null;
  try {
    found = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && found !== null) return found;
  const odd = {
    error: "unreadable",
    message: `The gateway answered ${response.status} with something that is no JSON.`,
    fix: "A proxy before it may have answered instead; try again.",
  };
  return new Problem(
    response.status,
    typeof found?.message === "string" ? found : odd,
    waiting(response.headers.get("Retry-After")),
  );
}

/** The seconds in a Retry-After header. */
function waiting(header) {
  if (!header) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(0, Math.ceil(seconds)), 3600) : 0;
}

let asking = null; // several requests may need the key at once: one dialog serves them all

/** Whether the person entered a key. It is stored for this tab only. */
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    const input = byId("key-input");
    const given = session.get("sense.key");
    byId("key-about").textContent = given
      ? "The gateway did not take this key. It is kept in this tab alone, until you close it."
      : "The gateway answers to those who have a key. It is kept in this tab alone, until you close it.";
    input.value = "";
    let key = "";
    const submit = (event) => {
      event.preventDefault();
      const value = input.value.trim();
      const odd = /[^!-~]/.test(value); // such a key fits into no header: fetch would fail as if the gateway could not be reached
      if (odd) byId("key-about").textContent = "A key holds letters, digits and signs of ASCII alone; copy it once more.";
      if (value && !odd) {
        key = value;
        dialog.close();
      } else {
        input.focus();
      }
    };
    const cancel = () => dialog.close();
    byId("key-form").addEventListener("submit", submit);
    byId("key-cancel").addEventListener("click", cancel);
    dialog.addEventListener(
      "close",
      () => {
        byId("key-form").removeEventListener("submit", submit);
        byId("key-cancel").removeEventListener("click", cancel);
        if (key) session.set("sense.key", key);
        input.value = "";
        byId("key").hidden = false;
        asking = null;
        resolve(Boolean(key));
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

const HEADLINES = {
  0: "No connection",
  401: "A key is needed",
  404: "Not found",
  413: "Too long",
  422: "Not possible",
  429: "Busy",
  503: "Not available now",
  504: "Too slow",
};

/** A problem as a notice; `retry` gets a button, which is enabled after the time that the gateway asks for. */
function problemNotice(problem, retry = null) {
  const details = problem.details.map((detail) => `${detail.field ?? ""}: ${detail.message ?? ""}`);
  const notice = el(
    "div.notice.problem",
    { role: "alert" },
    el("h2", {}, HEADLINES[problem.status] ?? "It did not work"),
    el("p", {}, sentence(problem.message), " ", problem.again ? "" : sentence(problem.fix)),
    details.length ? el("ul", {}, ...details.map((detail) => el("li", {}, shown(detail)))) : null,
    problem.id ? el("p.note", {}, "Request ", el("code", {}, shown(problem.id))) : null,
  );
  if (retry) notice.append(retryButton(problem.again, retry));
  return notice;
}

/** Calls `retry` with the focus moved to `place`, because the button that had the focus disappears. */
const retried = (place, retry) => () => {
  place.focus({ preventScroll: true });
  retry();
};

function retryButton(seconds, retry) {
  const button = el("button.plain", { type: "button", onclick: retry }, "Try again");
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0 && button.isConnected) setTimeout(tick, 250);
  };
  if (seconds > 0) requestAnimationFrame(tick);
  return button;
}

// Navigation: the address names the tab and what is open in it, so that Back works and links can be shared.

const THEMES = { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

function theme() {
  const button = byId("theme");
  const now = () => document.documentElement.dataset.theme ?? "system";
  const name = () => {
    button.title = THEMES[now()];
    button.setAttribute("aria-label", THEMES[now()]);
  };
  button.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (now() === "system" ? system : now()) === "dark" ? "light" : "dark";
    if (next === system) {
      delete document.documentElement.dataset.theme;
      kept.drop("sense.theme");
    } else {
      document.documentElement.dataset.theme = next;
      kept.set("sense.theme", next);
    }
    name();
    say(THEMES[now()]);
  });
  name();
}

async function model() {
  try {
    const found = await call("GET", "v1/model");
    byId("model").textContent = shown(`${found.name} ${found.version}`);
    byId("model").title = found.digest ? `SHA-256 ${found.digest}` : "";
  } catch (problem) {
    if (problem.status === 503) byId("model").textContent = "model not ready";
  }
}

function main() {
  theme();
  const offers = { data: null, feedback: true }; // until the gateway's OpenAPI document has been read
  let form = null;
  const past = history((entry) => form.restore(entry));
  form = ask(past, offers);
  const lists = data();
  const choose = tabs(document.querySelector(".bar .tabs"), (id) => {
    location.hash = id.slice(4);
  });

  function show() {
    const [part, kind = "pairs", id = ""] = location.hash.slice(1).split("/");
    const onData = part === "data" && offers.data !== false;
    choose(onData ? "tab-data" : "tab-ask");
    document.title = onData ? "Training data · SENSE" : "Ask · SENSE";
    byId("panel-ask").hidden = onData;
    byId("panel-data").hidden = !onData;
    if (onData && offers.data) lists.show(kind, decoded(id));
  }
  const decoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };

  const narrow = matchMedia("(max-width: 52rem)");
  byId("schema").open = !narrow.matches;
  narrow.addEventListener("change", () => {
    byId("schema").open = !narrow.matches;
  });
  byId("key").addEventListener("click", async () => {
    if (!(await askForKey())) return;
    form.load();
    model();
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("content").focus();
  });
  addEventListener("hashchange", show);
  show();
  form.load();
  model();
  call("GET", "openapi.json")
    .then(
      ({ paths }) => Object.assign(offers, { data: "/v1/data/pairs" in paths, feedback: "/v1/feedback" in paths }),
      () => Object.assign(offers, { data: false }),
    )
    .then(() => {
      byId("tab-data").hidden = !offers.data;
      show();
    });
}

main();

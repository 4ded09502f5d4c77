// Elements, text and storage. Data becomes text nodes and attributes, never markup.

const byId = (id) => document.getElementById(id);

/** An element: "div.note", its attributes (on... are listeners), its children (text, elements, nothing). */
function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.classList.add(value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Untrusted text: control characters and those that change the writing direction become visible. */
function shown(text, longest = 100000) {
  const kept = String(text)
    .slice(0, longest)
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return String(text).length > longest ? `${kept}…` : kept;
}

/** A whole number with its noun; a noun ending in -y becomes -ies. */
function many(number, noun) {
  const plural = noun.endsWith("y") ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** Milliseconds, formatted for people. */
function duration(ms) {
  if (ms >= 10000) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms > 0 && ms < 1 ? "< 1 ms" : `${ms.toFixed(0)} ms`;
}

/** A message as a sentence: with a capital letter and a full stop. */
function sentence(text) {
  const clean = shown(text ?? "").trim();
  return clean && clean[0].toUpperCase() + clean.slice(1) + (/[.!?…]$/.test(clean) ? "" : ".");
}

/** Announces a text to screen readers. */
function say(text) {
  byId("said").textContent = "";
  requestAnimationFrame(() => {
    byId("said").textContent = text;
  });
}

/** A browser's storage that ignores errors if it is blocked or full; `lasting` says whether the last write worked. */
function storage(kind) {
  const memory = new Map();
  return {
    lasting: true,
    get(name) {
      try {
        return window[kind].getItem(name) ?? memory.get(name) ?? null;
      } catch {
        this.lasting = false;
        return memory.get(name) ?? null;
      }
    },
    set(name, value) {
      memory.set(name, value);
      try {
        window[kind].setItem(name, value);
      } catch {
        this.lasting = false;
      }
    },
    drop(name) {
      memory.delete(name);
      try {
        window[kind].removeItem(name);
      } catch {
        this.lasting = false;
      }
    },
  };
}

const kept = storage("localStorage");
const session = storage("sessionStorage");

/** Moves the focus among `items` with the arrow keys, Home and End; `go` is called with the item that gets the focus. */
function arrows(event, items, keys, go) {
  const here = items.indexOf(document.activeElement);
  const last = items.length - 1;
  const next = { [keys[0]]: here <= 0 ? last : here - 1, [keys[1]]: here >= last ? 0 : here + 1, Home: 0, End: last }[event.key];
  if (next === undefined || here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  items[next].focus();
  go(items[next]);
}

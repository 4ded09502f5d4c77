// The picker of a database: a text field that filters the list below it (WAI-ARIA's editable combobox).

/** Fills `place` with a picker labelled by the element `label`; `picked` is called with the chosen name. */
function picker(place, id, picked) {
  let names = [];
  let value = "";
  let options = [];
  let active = -1;
  const list = el("ul", { id: `${id}-list`, role: "listbox", "aria-label": "Databases", hidden: true });
  const input = el("input", {
    id,
    type: "text",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": list.id,
    placeholder: "Loading…",
  });
  place.append(input, icon("chevron"), list);

  function open(filter) {
    const words = filter
      .toLowerCase()
      .split(/[\s_]+/)
      .filter(Boolean);
    const found = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    options = found.map((name, number) =>
      el(
        "li",
        {
          id: `${id}-${number}`,
          role: "option",
          "aria-selected": String(name === value),
          onpointerdown: (event) => event.preventDefault(),
          onclick: () => take(name),
        },
        shown(name),
      ),
    );
    list.replaceChildren(
      ...(options.length ? options : [el("li.none", { role: "option", "aria-disabled": "true" }, "No database of that name")]),
    );
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
    if (!options.length) say("No database of that name");
    point(found.indexOf(value) >= 0 ? found.indexOf(value) : 0);
  }
  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function point(number) {
    if (!options.length) return;
    options[active]?.classList.remove("active");
    active = (number + options.length) % options.length;
    options[active].classList.add("active");
    options[active].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[active].id);
  }
  function take(name) {
    close();
    input.value = name;
    if (name !== value) {
      value = name;
      picked(name);
    }
  }
  const isOpen = () => !list.hidden;
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => {
    if (!isOpen()) open("");
  });
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", () => {
    close();
    input.value = value;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (isOpen()) point(active + (event.key === "ArrowDown" ? 1 : -1));
      else open("");
    } else if (event.key === "Enter" && isOpen()) {
      event.preventDefault();
      if (active >= 0 && options[active]) options[active].click();
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      close();
      input.value = value;
    }
  });
  return {
    get value() {
      return value;
    },
    fill(found) {
      names = found;
      input.placeholder = names.length ? "Choose a database" : "No database";
      input.disabled = !names.length;
    },
    has: (name) => names.includes(name),
    take,
  };
}

// Tabs as in WAI-ARIA's tabs pattern: one tab stop for all, the arrow keys select.

/** Sets up a tablist; `chosen` is called with a tab's id when a person selects it. Returns a function that marks a tab as selected. */
function tabs(list, chosen) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const visible = () => all.filter((tab) => !tab.hidden);
  all.forEach((tab) => tab.addEventListener("click", () => chosen(tab.id)));
  list.addEventListener("keydown", (event) => arrows(event, visible(), ["ArrowLeft", "ArrowRight"], (tab) => chosen(tab.id)));
  return (id) =>
    all.forEach((tab) => {
      tab.setAttribute("aria-selected", String(tab.id === id));
      tab.tabIndex = tab.id === id ? 0 : -1;
    });
}

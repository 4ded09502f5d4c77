// Tabs after WAI-ARIA's pattern: one stop of the Tab key, arrows choose.

/** Makes a tablist work; `chosen` is called with a tab's id when a person chooses it. Returns a function that shows one as chosen. */
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

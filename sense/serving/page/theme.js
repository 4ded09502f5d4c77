// Applies the theme that was chosen in this browser, if any, before anything is drawn.
try {
  const theme = localStorage.getItem("sense.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is blocked: the page follows the system's theme
}

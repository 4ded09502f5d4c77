// Before anything is drawn: the theme that was chosen here, if one was.
try {
  const theme = localStorage.getItem("sense.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is blocked: the system's theme it is
}

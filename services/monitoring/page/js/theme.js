// Before the first paint, so that a chosen theme does not flash. A classic script: modules run late.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("cellar-theme");
  } catch {
    // Storage may be switched off; the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();

// The theme: as the system has it, or as chosen with the button. Runs before anything is painted.
"use strict";

(() => {
  const names = ["system", "light", "dark"];
  const labels = { system: "System theme", light: "Light theme", dark: "Dark theme" };
  let chosen = "system";
  try {
    const kept = localStorage.getItem("resilience-theme");
    if (names.includes(kept)) chosen = kept;
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }

  function apply() {
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    const button = document.getElementById("theme");
    if (button) button.textContent = labels[chosen];
    document.dispatchEvent(new Event("theme"));
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = names[(names.indexOf(chosen) + 1) % names.length];
      try {
        localStorage.setItem("resilience-theme", chosen);
      } catch {
        // as above
      }
      apply();
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
})();

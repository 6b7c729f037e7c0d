/** Light, dark, or as the system. */
import { byId } from "./dom";

const themes = ["auto", "light", "dark"];

export function setUpTheme(): void {
  const button = byId("theme");
  const show = (theme: string) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `◐ ${theme}`;
    button.setAttribute("aria-label", `Colours: ${theme}`);
  };
  const stored = read();
  show(stored && themes.includes(stored) ? stored : "auto");
  button.addEventListener("click", () => {
    const now = themes.indexOf(document.documentElement.dataset.theme ?? "auto");
    const next = themes[(now + 1) % themes.length] ?? "auto";
    show(next);
    try {
      localStorage.setItem("theme", next);
    } catch {
      // A browser that keeps nothing simply forgets the choice.
    }
  });
}

function read(): string | null {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

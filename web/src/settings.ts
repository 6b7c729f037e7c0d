/** The form: seed, steps, quality, faces. What was chosen is remembered. */
import type { GenerateSettings } from "maquette";
import { byId } from "./dom";

const qualities: Record<string, { words: string; surface: GenerateSettings }> = {
  draft: { words: "512² texture, quick box unwrapping, hidden faces kept.", surface: { textureSize: 512, unwrap: "boxes", removeHidden: false } },
  standard: { words: "1024² texture.", surface: { textureSize: 1024, unwrap: "charts", removeHidden: true } },
  fine: { words: "2048² texture; takes noticeably longer to unwrap and paint.", surface: { textureSize: 2048, unwrap: "charts", removeHidden: true } },
};

const inputs = ["quality", "faces", "steps", "seed"] as const;

export function setUpSettings(onSubmit: () => void): void {
  const form = byId<HTMLFormElement>("settings");
  restore();
  const describe = () => (byId("quality-words").textContent = qualities[value("quality")]?.words ?? "");
  describe();
  byId("quality").addEventListener("change", describe);
  form.addEventListener("change", store);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onSubmit();
  });
  byId("dice").addEventListener("click", () => {
    byId<HTMLInputElement>("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    store();
  });
}

/** What the form says, as the engine takes it. */
export function chosenSettings(): GenerateSettings {
  const number = (name: string) => (value(name) === "" ? undefined : Number(value(name)));
  const [seed, steps, faces] = [number("seed"), number("steps"), number("faces")];
  return {
    ...qualities[value("quality")]?.surface,
    ...(seed === undefined ? {} : { seed }),
    ...(steps === undefined ? {} : { steps }),
    ...(faces === undefined ? {} : { faces }),
  };
}

function value(name: string): string {
  return byId<HTMLInputElement | HTMLSelectElement>(name).value;
}

function store(): void {
  try {
    localStorage.setItem("settings", JSON.stringify(Object.fromEntries(inputs.map((name) => [name, value(name)]))));
  } catch {
    // A browser that keeps nothing simply forgets the choice.
  }
}

function restore(): void {
  try {
    const stored = JSON.parse(localStorage.getItem("settings") ?? "{}") as Record<string, unknown>;
    for (const name of inputs) {
      const kept = stored[name];
      if (typeof kept === "string") byId<HTMLInputElement>(name).value = kept;
    }
    // A select that knows no such choice stands empty.
    if (!qualities[value("quality")]) byId<HTMLSelectElement>("quality").value = "standard";
  } catch {
    // The same.
  }
}

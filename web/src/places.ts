/** Where things lie: the engine and the matting weights beside the page, the pack where `?pack=` says. */
export const engineUrl = new URL("engine/maquette_web.js", document.baseURI).href;
export const mattingUrl = new URL("matting/u2netp.safetensors", document.baseURI).href;

const query = new URLSearchParams(location.search);

/** The address of `pack.json`; a folder's address means the `pack.json` in it. */
export function packUrl(): string {
  const asked = query.get("pack");
  if (!asked) return new URL("packs/mini/pack.json", document.baseURI).href;
  const url = new URL(asked, location.href);
  if (!url.pathname.endsWith(".json")) url.pathname = `${url.pathname.replace(/\/$/, "")}/pack.json`;
  return url.href;
}

/** What the engine shall run as: `?tier=web&precision=f32&limits=minimum`, for tests and comparisons. */
export function engineChoice(): { tier?: "auto" | "base" | "web" | "subgroup"; precision?: "auto" | "f32" | "f16"; limits?: "adapter" | "minimum" } {
  const pick = <T extends string>(name: string, allowed: readonly T[]) => {
    const value = query.get(name);
    const known = allowed.find((one) => one === value);
    return known ? { [name]: known } : {};
  };
  return {
    ...pick("tier", ["auto", "base", "web", "subgroup"] as const),
    ...pick("precision", ["auto", "f32", "f16"] as const),
    ...pick("limits", ["adapter", "minimum"] as const),
  };
}

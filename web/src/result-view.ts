/** A finished model: viewer, downloads, health report. */
import type { Health, Model } from "maquette";
import { byId, count, download, el, press, seconds } from "./dom";
import { PicturesPanel } from "./pictures";
import type { ResultFiles, ResultSummary } from "./results-store";
import type { Mode, Viewer } from "./viewer";

const words: Record<string, string> = {
  vertices: "Vertices",
  triangles: "Triangles",
  degenerate: "Triangles without area",
  components: "Connected parts",
  boundary_edges: "Open edges",
  boundaryEdges: "Open edges",
  non_manifold_edges: "Edges with more than two faces",
  nonManifoldEdges: "Edges with more than two faces",
  winding_conflicts: "Edges with conflicting sides",
  windingConflicts: "Edges with conflicting sides",
  watertight: "Closed",
  area: "Surface area",
  volume: "Volume",
  texel_density: "Texels a unit",
  texelDensity: "Texels a unit",
  atlas_coverage: "Texture in use",
  atlasCoverage: "Texture in use",
  file_bytes: "Bytes",
  fileBytes: "Bytes",
};

export class ResultView {
  readonly #pictures = new PicturesPanel();
  #viewer: Viewer | undefined;
  #files: ResultFiles | undefined;
  #name = "model";

  constructor() {
    const modes = [...byId("modes").querySelectorAll<HTMLButtonElement>("button")];
    for (const mode of modes) {
      mode.addEventListener("click", () => {
        press(modes, mode);
        this.#viewer?.setMode(mode.dataset.mode as Mode);
      });
    }
    byId("view-reset").addEventListener("click", () => this.#viewer?.reset());
    for (const choice of document.querySelectorAll<HTMLButtonElement>("[data-format]")) {
      choice.addEventListener("click", () => {
        const format = choice.dataset.format as keyof ResultFiles;
        const file = this.#files?.[format];
        if (file) download(`${this.#name}.${format === "obj" ? "zip" : format}`, file);
      });
    }
  }

  /** Shows a model. Without `model` its splats cannot be shown and no pictures drawn: the engine has forgotten it. */
  async show(summary: Omit<ResultSummary, "id" | "thumbnail">, files: ResultFiles, model: Model | undefined): Promise<void> {
    this.#files = files;
    this.#name = summary.name.replace(/\.[a-z0-9]+$/i, "").replace(/[^\p{L}\p{N}_-]+/gu, "-") || "model";
    byId("result-words").textContent = `${count(summary.triangles)} triangles, ${count(summary.gaussians)} splats, made in ${seconds(summary.seconds)}.`;
    this.#pictures.of(model, this.#name);
    this.#health(summary.health);
    const modes = [...byId("modes").querySelectorAll<HTMLButtonElement>("button")];
    for (const mode of modes) {
      if (mode.dataset.mode === "textured") press(modes, mode);
      if (mode.dataset.mode !== "splats") continue;
      mode.disabled = model === undefined;
      mode.title = model ? "" : "Only the model that was made last can be shown as splats. Its PLY file holds them.";
    }
    const { Viewer } = await import("./viewer");
    this.#viewer ??= new Viewer(byId("viewer"));
    await this.#viewer.show(await files.glb.arrayBuffer(), model && ((view) => model.splats(view)));
    this.#viewer.reset();
  }

  /** The model is about to go. */
  leave(): void {
    this.#pictures.of(undefined, this.#name);
  }

  thumbnail(side: number): Promise<Blob | undefined> {
    return this.#viewer?.thumbnail(side) ?? Promise.resolve(undefined);
  }

  #health(health: Health): void {
    const warnings = health.warnings ?? [];
    const badge = byId("health-badge");
    badge.textContent = warnings.length === 0 ? "sound" : `${warnings.length} to know`;
    badge.className = warnings.length === 0 ? "badge good" : "badge bad";
    byId("health-warnings").replaceChildren(...warnings.map((text) => el("li", {}, text)));
    const facts: HTMLElement[] = [];
    for (const [key, value] of Object.entries(health)) {
      const text = factText(key, value);
      if (text) facts.push(el("dt", {}, words[key] ?? key), el("dd", {}, text));
    }
    byId("health").replaceChildren(...facts);
  }
}

function factText(key: string, value: unknown): string | undefined {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return undefined;
  if (/coverage/i.test(key)) return `${Math.round(value * 100)} %`;
  return Number.isInteger(value) ? count(value) : value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** A run as it goes: stages with progress and time, and the first splats. */
import type { Progress, SplatView, StageName } from "maquette";
import { byId, bytes, context, count, el, say, seconds } from "./dom";

type Row = "weights" | "kernels" | StageName;

const rows: [Row, string][] = [
  ["weights", "Fetch the weights"],
  ["kernels", "Compile for your graphics card"],
  ["encode", "Look at the picture"],
  ["structure", "Find the shape"],
  ["latent", "Work out the surface"],
  ["gaussians", "Make splats"],
  ["mesh", "Make the mesh"],
  ["surface", "Clean the mesh"],
  ["unwrap", "Unwrap it"],
  ["bake", "Paint the texture"],
];

/** Pictures of a whole turn, and how long making them may hold up the work that follows. */
const TURN = 24;
const TURN_BUDGET = 1500;
/** Milliseconds that a picture of the turn stays. */
const TURN_PAUSE = 140;

export class RunView {
  readonly #list = byId("stages");
  readonly #canvas = byId<HTMLCanvasElement>("preview");
  #begun = 0;
  #clock: ReturnType<typeof setInterval> | undefined;
  #stageBegun = new Map<Row, number>();
  #current: Row | undefined;
  #frames: ImageData[] = [];
  #turning: ReturnType<typeof setTimeout> | undefined;
  #splats = 0;

  /** Begins anew. The preview's canvas holds the cut-out until there are splats. */
  start(weightsAreHere: boolean): void {
    this.#list.replaceChildren(
      ...rows.map(([name, title]) =>
        el("li", { "data-stage": name }, el("span", { class: "mark", "aria-hidden": "true" }), el("span", {}, title), el("span", { class: "time" })),
      ),
    );
    this.#row("weights").hidden = weightsAreHere;
    this.#row("kernels").hidden = true;
    byId("preview-caption").textContent = "Your picture";
    this.#stageBegun.clear();
    this.#current = undefined;
    this.#frames = [];
    this.#begun = performance.now();
    clearInterval(this.#clock);
    this.#clock = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  /** Ends the clock; gives the seconds in all. */
  stop(): number {
    clearInterval(this.#clock);
    clearTimeout(this.#turning);
    return (performance.now() - this.#begun) / 1000;
  }

  progress(progress: Progress): void {
    switch (progress.kind) {
      case "download": {
        const { stored, bytes: all, doing, bytesPerSecond } = progress;
        const row = this.#row("weights");
        row.hidden = false;
        const speed = bytesPerSecond > 0 && doing !== "check" ? `, ${bytes(bytesPerSecond)}/s` : "";
        const word = { fetch: "", check: "checking, ", repair: "damaged, fetching again, " }[doing];
        if (stored < all || doing === "check") this.#note("weights", `${word}${bytes(stored)} of ${bytes(all)}${speed}`);
        this.#bar("weights", stored / all);
        if (stored >= all && doing === "fetch") this.#done("weights", bytes(all));
        else if (!row.classList.contains("now")) row.classList.add("now");
        break;
      }
      case "started": {
        this.#current = progress.stage;
        this.#stageBegun.set(progress.stage, performance.now());
        const row = this.#list.querySelector<HTMLElement>(`[data-stage="${progress.stage}"]`);
        if (!row) break;
        row.className = "now";
        row.setAttribute("aria-current", "step");
        if (progress.steps > 1) this.#bar(progress.stage, 0);
        say(rows.find(([name]) => name === progress.stage)?.[1] ?? progress.title);
        break;
      }
      case "step":
        this.#bar(progress.stage, progress.step / Math.max(progress.steps, 1), progress.step, progress.steps);
        break;
      case "finished":
        this.#done(progress.stage, seconds(progress.seconds));
        break;
      case "gaussians":
        this.#splats = progress.count;
        break;
      case "compiling": {
        const row = this.#row("kernels");
        row.hidden = false;
        row.className = "now";
        break;
      }
      case "compiled":
        this.#done("kernels", seconds(progress.seconds));
        break;
      case "note":
        say(progress.text);
        break;
    }
  }

  /** Shows the weights as all here, when no more of them will come. */
  weightsDone(): void {
    const row = this.#row("weights");
    if (!row.hidden) this.#done("weights", "on this device");
  }

  /** Draws splats: one picture at once, then as much of a turn as a moment allows. */
  async showSplats(draw: (view: SplatView) => Promise<ImageData>): Promise<void> {
    const side = this.#canvas.width;
    const frame = (n: number) => draw({ width: side, height: side, yaw: Math.PI + (n / TURN) * 2 * Math.PI, pitch: 0.35, distance: 2 });
    const begun = performance.now();
    for (let n = 0; n < TURN && performance.now() - begun < TURN_BUDGET; n += 1) {
      this.#frames.push(await frame(n));
      const newest = this.#frames.at(-1);
      if (newest) this.#put(newest);
      byId("preview-caption").textContent = `${count(this.#splats)} splats`;
    }
    if (this.#frames.length === TURN && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.#turn(0);
  }

  /** Shows the turn's pictures one after another. A picture is put once and not at every frame of the screen: without a graphics card each costs the engine time. */
  #turn(n: number): void {
    const frame = this.#frames[n % TURN];
    if (frame) this.#put(frame);
    this.#turning = setTimeout(() => this.#turn(n + 1), TURN_PAUSE);
  }

  #put(frame: ImageData): void {
    context(this.#canvas).putImageData(frame, 0, 0);
  }

  #row(name: Row): HTMLElement {
    const row = this.#list.querySelector<HTMLElement>(`[data-stage="${name}"]`);
    if (!row) throw new Error(`there is no row ${name}`);
    return row;
  }

  #note(name: Row, text: string): void {
    const time = this.#list.querySelector(`[data-stage="${name}"] .time`);
    if (time) time.textContent = text;
  }

  #bar(name: Row, share: number, step?: number, steps?: number): void {
    const row = this.#list.querySelector<HTMLElement>(`[data-stage="${name}"]`);
    if (!row || row.classList.contains("done")) return;
    let bar = row.querySelector("progress");
    if (!bar) {
      bar = el("progress", { max: "1", "aria-label": rows.find(([key]) => key === name)?.[1] ?? name });
      row.append(bar);
    }
    bar.value = share;
    if (step !== undefined && steps !== undefined && name !== "unwrap") {
      const passed = (performance.now() - (this.#stageBegun.get(name) ?? performance.now())) / 1000;
      this.#note(name, `${step} of ${steps}, ${seconds(passed)}`);
    }
  }

  #done(name: Row, text: string): void {
    const row = this.#list.querySelector<HTMLElement>(`[data-stage="${name}"]`);
    if (!row) return;
    row.className = "done";
    row.removeAttribute("aria-current");
    row.querySelector("progress")?.remove();
    this.#note(name, text);
  }

  #tick(): void {
    byId("run-time").textContent = seconds((performance.now() - this.#begun) / 1000);
    const begun = this.#current ? this.#stageBegun.get(this.#current) : undefined;
    const row = this.#current && this.#list.querySelector(`[data-stage="${this.#current}"].now`);
    if (row && begun !== undefined && !row.querySelector("progress") && this.#current) this.#note(this.#current, seconds((performance.now() - begun) / 1000));
  }
}

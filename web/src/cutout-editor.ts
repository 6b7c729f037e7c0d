/** Shows the cut-out over the dimmed picture, and lets a brush correct the mask. */
import type { Cutout } from "maquette";
import { byId, context, press } from "./dom";

/** Masks that can be taken back. */
const MEMORY = 24;

export class CutoutEditor {
  readonly #canvas = byId<HTMLCanvasElement>("cutout-canvas");
  readonly #ring = byId("brush-ring");
  readonly #undo = byId<HTMLButtonElement>("brush-undo");
  readonly #reset = byId<HTMLButtonElement>("brush-reset");
  readonly #size = byId<HTMLInputElement>("brush-size");
  #cutout: Cutout | undefined;
  #mask = new Uint8Array(0);
  #image = new ImageData(1, 1);
  #past: Uint8Array<ArrayBuffer>[] = [];
  #keep = true;
  #last: { x: number; y: number } | undefined;
  /** The brush's place when the keyboard leads it. */
  #cursor: { x: number; y: number } | undefined;
  /** Called after every stroke. */
  onchange: () => void = () => {};

  constructor() {
    const [keep, remove] = [byId("brush-keep"), byId("brush-remove")];
    for (const choice of [keep, remove]) {
      choice.addEventListener("click", () => {
        this.#keep = choice === keep;
        press([keep, remove], choice);
      });
    }
    this.#undo.addEventListener("click", () => this.#takeBack());
    this.#reset.addEventListener("click", () => this.#restore());
    this.#canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.#canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.#canvas.addEventListener("pointerup", () => this.#finish());
    this.#canvas.addEventListener("pointercancel", () => this.#finish());
    this.#canvas.addEventListener("pointerleave", () => (this.#ring.hidden = true));
    this.#canvas.addEventListener("blur", () => (this.#ring.hidden = true));
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows a cut-out; earlier strokes are forgotten. */
  show(cutout: Cutout): void {
    this.#cutout = cutout;
    this.#canvas.width = cutout.width;
    this.#canvas.height = cutout.height;
    this.#canvas.style.setProperty("--ratio", String(cutout.width / cutout.height));
    this.#image = new ImageData(cutout.width, cutout.height);
    this.#cursor = undefined;
    // The brush in picture pixels: a phone's photograph needs a larger one than an icon.
    const side = Math.max(cutout.width, cutout.height);
    this.#size.max = String(Math.max(20, Math.round(side / 4)));
    this.#size.value = String(Math.max(6, Math.round(side / 16)));
    this.#restore();
    const list = byId("cutout-warnings");
    list.replaceChildren(...cutout.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  /** The corrected mask; nothing if it was not touched. */
  get mask(): Uint8Array<ArrayBuffer> | undefined {
    return this.#past.length > 0 ? this.#mask.slice() : undefined;
  }

  /** The cut-out as it is seen, for small pictures of it. */
  draw(target: HTMLCanvasElement): void {
    const cutout = this.#cutout;
    if (!cutout) return;
    const pixels = new Uint8ClampedArray(cutout.rgba);
    for (let i = 0; i < this.#mask.length; i += 1) pixels[4 * i + 3] = this.#mask[i] ?? 0;
    const whole = Object.assign(document.createElement("canvas"), { width: cutout.width, height: cutout.height });
    context(whole).putImageData(new ImageData(pixels, cutout.width, cutout.height), 0, 0);
    const scale = Math.min(target.width / cutout.width, target.height / cutout.height);
    const [w, h] = [cutout.width * scale, cutout.height * scale];
    const painter = context(target);
    painter.clearRect(0, 0, target.width, target.height);
    painter.imageSmoothingQuality = "high";
    painter.drawImage(whole, (target.width - w) / 2, (target.height - h) / 2, w, h);
  }

  #restore(): void {
    const rgba = this.#cutout?.rgba ?? new Uint8ClampedArray(0);
    this.#mask = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < this.#mask.length; i += 1) this.#mask[i] = rgba[4 * i + 3] ?? 0;
    this.#past = [];
    this.#paint(0, 0, this.#image.width, this.#image.height);
    this.#changed();
  }

  #takeBack(): void {
    const before = this.#past.pop();
    if (!before) return;
    this.#mask = before;
    this.#paint(0, 0, this.#image.width, this.#image.height);
    this.#changed();
  }

  #changed(): void {
    this.#undo.disabled = this.#past.length === 0;
    this.#reset.disabled = this.#past.length === 0;
    this.onchange();
  }

  #remember(): void {
    this.#past.push(this.#mask.slice());
    if (this.#past.length > MEMORY) this.#past.shift();
  }

  #begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#remember();
    this.#last = this.#place(event);
    this.#stroke(this.#last, this.#last);
  }

  #move(event: PointerEvent): void {
    const to = this.#place(event);
    this.#showRing(to);
    if (!this.#last) return;
    this.#stroke(this.#last, to);
    this.#last = to;
  }

  #finish(): void {
    if (!this.#last) return;
    this.#last = undefined;
    this.#changed();
  }

  #key(event: KeyboardEvent): void {
    const radius = Number(this.#size.value) / 2;
    const moves: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    const at = (this.#cursor ??= { x: this.#image.width / 2, y: this.#image.height / 2 });
    if (move) {
      at.x = Math.min(Math.max(at.x + move[0] * radius, 0), this.#image.width);
      at.y = Math.min(Math.max(at.y + move[1] * radius, 0), this.#image.height);
    } else if (event.key === " ") {
      this.#remember();
      this.#stroke(at, at);
      this.#changed();
    } else if (event.key.toLowerCase() === "u") {
      this.#takeBack();
    } else {
      return;
    }
    event.preventDefault();
    this.#showRing(at);
  }

  #place(event: PointerEvent): { x: number; y: number } {
    const box = this.#canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * this.#image.width, y: ((event.clientY - box.top) / box.height) * this.#image.height };
  }

  #showRing({ x, y }: { x: number; y: number }): void {
    const box = this.#canvas.getBoundingClientRect();
    const frame = this.#canvas.parentElement?.getBoundingClientRect() ?? box;
    const scale = box.width / this.#image.width;
    const size = `${Number(this.#size.value) * scale}px`;
    Object.assign(this.#ring.style, { width: size, height: size, left: `${box.left - frame.left + x * scale}px`, top: `${box.top - frame.top + y * scale}px` });
    this.#ring.hidden = false;
  }

  /** Paints a round brush with a soft rim along a line. */
  #stroke(from: { x: number; y: number }, to: { x: number; y: number }): void {
    const { width, height } = this.#image;
    const radius = Number(this.#size.value) / 2;
    const [x0, x1] = [Math.max(0, Math.floor(Math.min(from.x, to.x) - radius - 1)), Math.min(width, Math.ceil(Math.max(from.x, to.x) + radius + 1))];
    const [y0, y1] = [Math.max(0, Math.floor(Math.min(from.y, to.y) - radius - 1)), Math.min(height, Math.ceil(Math.max(from.y, to.y) + radius + 1))];
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    for (let y = y0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1) {
        const along = length === 0 ? 0 : Math.min(1, Math.max(0, ((x + 0.5 - from.x) * dx + (y + 0.5 - from.y) * dy) / length));
        const distance = Math.hypot(x + 0.5 - from.x - along * dx, y + 0.5 - from.y - along * dy);
        const amount = Math.min(1, Math.max(0, radius - distance + 0.5));
        if (amount === 0) continue;
        const i = y * width + x;
        const old = this.#mask[i] ?? 0;
        const painted = 255 * amount;
        this.#mask[i] = this.#keep ? Math.max(old, painted) : Math.min(old, 255 - painted);
      }
    }
    if (x1 > x0 && y1 > y0) this.#paint(x0, y0, x1 - x0, y1 - y0);
  }

  /** Draws a part: the subject as it is, everything else faint and grey. */
  #paint(left: number, top: number, w: number, h: number): void {
    const { width } = this.#image;
    const rgba = this.#cutout?.rgba;
    if (!rgba || w === 0 || h === 0) return;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && document.documentElement.dataset.theme !== "light";
    const [light, shade] = dark || document.documentElement.dataset.theme === "dark" ? [44, 36] : [255, 233];
    const cell = Math.max(4, Math.round(width / 48));
    for (let y = top; y < top + h; y += 1) {
      for (let x = left; x < left + w; x += 1) {
        const i = y * width + x;
        const alpha = (this.#mask[i] ?? 0) / 255;
        const [r, g, b] = [rgba[4 * i] ?? 0, rgba[4 * i + 1] ?? 0, rgba[4 * i + 2] ?? 0];
        const check = ((Math.floor(x / cell) + Math.floor(y / cell)) & 1) === 0 ? light : shade;
        const ghost = 0.78 * check + 0.22 * (0.3 * r + 0.59 * g + 0.11 * b);
        this.#image.data[4 * i] = alpha * r + (1 - alpha) * ghost;
        this.#image.data[4 * i + 1] = alpha * g + (1 - alpha) * ghost;
        this.#image.data[4 * i + 2] = alpha * b + (1 - alpha) * ghost;
        this.#image.data[4 * i + 3] = 255;
      }
    }
    context(this.#canvas).putImageData(this.#image, 0, 0, left, top, w, h);
  }
}

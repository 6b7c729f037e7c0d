/** The few helpers with which the page talks to its document. */

/** The element of that id. The document is ours, so a missing one is a fault of ours. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the document has no #${id}`);
  return element as T;
}

type Child = Node | string | undefined;

/** Makes an element; text is always text, never markup. */
export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

export function button(text: string, classes: string, onclick: () => void): HTMLButtonElement {
  const element = el("button", { type: "button", class: classes }, text);
  element.addEventListener("click", onclick);
  return element;
}

/** The canvas' 2D context. */
export function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const found = canvas.getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("this browser draws no 2D canvas");
  return found;
}

/** Says something to people who listen to the page. */
export function say(text: string): void {
  byId("live").textContent = text;
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(0)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

export function seconds(value: number): string {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  return `${Math.floor(value / 60)} min ${String(Math.floor(value % 60)).padStart(2, "0")} s`;
}

export const count = (value: number) => value.toLocaleString("en");

/** Presses one of a group of toggle buttons. */
export function press(group: Iterable<HTMLElement>, chosen: HTMLElement): void {
  for (const member of group) member.setAttribute("aria-pressed", String(member === chosen));
}

/** Hands a file to the browser's downloads. */
export function download(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken it up by then; until then the address must live.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

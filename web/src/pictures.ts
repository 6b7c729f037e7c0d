/** Pictures of a finished model to keep: four views, or a turn. */
import { isCancelled, type Model, type ModelPicture } from "maquette";
import { byId, download, say, seconds } from "./dom";
import { fail } from "./notices";

type Kind = ModelPicture["kind"];

const words: Record<Kind, string> = { "four-views": "Drawing four views…", turntable: "Drawing a whole turn…" };
const endings: Record<Kind, string> = { "four-views": "views.png", turntable: "turntable.webp" };

export class PicturesPanel {
  readonly #box = byId<HTMLFieldSetElement>("pictures");
  readonly #show = byId<HTMLSelectElement>("pictures-show");
  readonly #words = byId("pictures-words");
  readonly #stop = byId<HTMLButtonElement>("pictures-stop");
  #model: Model | undefined;
  #name = "model";
  #drawing: AbortController | undefined;

  constructor() {
    for (const choice of this.#box.querySelectorAll<HTMLButtonElement>("[data-picture]")) {
      choice.addEventListener("click", () => void this.#draw(choice));
    }
    this.#stop.addEventListener("click", () => this.stop());
  }

  /** Draws this model from now on. Without one nothing can be drawn: the engine has forgotten it. */
  of(model: Model | undefined, name: string): void {
    this.stop();
    this.#model = model;
    this.#name = name;
    this.#able();
    this.#words.textContent = model ? "" : "Only the model that was made last can be drawn. The files of this one are all here.";
  }

  /** Ends what is being drawn. */
  stop(): void {
    this.#drawing?.abort();
  }

  async #draw(choice: HTMLButtonElement): Promise<void> {
    const [model, name] = [this.#model, this.#name];
    if (!model || this.#drawing) return;
    const mine = new AbortController();
    this.#drawing = mine;
    const kind = choice.dataset.picture as Kind;
    const show = this.#show.value as NonNullable<ModelPicture["show"]>;
    const begun = performance.now();
    this.#able();
    this.#tell(model, words[kind]);
    this.#stop.focus();
    try {
      const file = await model.picture({ kind, show, signal: mine.signal });
      if (mine.signal.aborted) return;
      download([name, ...(show === "texture" ? [] : [show]), endings[kind]].join("-"), file);
      this.#tell(model, `Drawn in ${seconds((performance.now() - begun) / 1000)}.`);
    } catch (error) {
      this.#tell(model, isCancelled(error) ? "Stopped." : "Not drawn.");
      if (!isCancelled(error)) fail(error);
    } finally {
      this.#drawing = undefined;
      this.#able();
      if (document.activeElement === document.body) choice.focus();
    }
  }

  /** Says something about a model, as long as it is the one that is shown. */
  #tell(model: Model, text: string): void {
    if (this.#model !== model) return;
    this.#words.textContent = text;
    say(text);
  }

  #able(): void {
    const can = this.#model !== undefined && !this.#drawing;
    this.#show.disabled = !can;
    for (const choice of this.#box.querySelectorAll<HTMLButtonElement>("[data-picture]")) choice.disabled = !can;
    this.#stop.hidden = !this.#drawing;
  }
}

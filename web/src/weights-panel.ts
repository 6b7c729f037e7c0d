/** The weights: what is on this device, download only, use offline, delete, room and persistence. */
import { type DownloadProgress, isCancelled, type Pack, type PackStatus, stagesOf } from "maquette";
import { byId, bytes, el, say } from "./dom";
import { fail } from "./notices";

export class WeightsPanel {
  readonly #pack: Pack;
  readonly #download = byId<HTMLButtonElement>("weights-download");
  readonly #offline = byId<HTMLInputElement>("weights-offline");
  #stop: AbortController | undefined;
  #status: PackStatus | undefined;

  /** `onDownload` is called when weights begin to come. */
  constructor(
    pack: Pack,
    readonly onDownload: () => void,
  ) {
    this.#pack = pack;
    this.#offline.checked = pack.offline;
    this.#download.addEventListener("click", () => void this.#toggleDownload());
    byId("weights-delete").addEventListener("click", () => void this.#delete());
    this.#offline.addEventListener("change", () => void this.#switchOffline());
    byId("storage-keep").addEventListener("click", () => void this.#keep());
    pack.onProgress((progress) => this.#progress(progress));
  }

  /** Whether every shard is here. */
  get complete(): boolean {
    return this.#status?.complete ?? false;
  }

  /** Looks at what is here and shows it. A failure is shown in the panel only: nothing was asked for yet. */
  async refresh(): Promise<void> {
    try {
      this.#show(await this.#pack.status());
    } catch (error) {
      byId("weights-short").textContent = "not reached";
      byId("weights-words").textContent = error instanceof Error ? error.message : String(error);
    }
    await this.#room();
  }

  /** There is no storage at this address. */
  unavailable(): void {
    byId("weights-short").textContent = "not here";
    byId("weights-words").textContent = "Browsers give a page storage only at a secure address.";
    for (const control of [this.#download, this.#offline, byId<HTMLButtonElement>("weights-delete")]) control.disabled = true;
  }

  #show(status: PackStatus): void {
    this.#status = status;
    const { index, stored, complete, keeping, fromDevice } = status;
    const what = `${index.model}, ${index.precision}, ${bytes(index.bytes)}`;
    byId("weights-short").textContent = complete ? `${what}: on this device` : `${what}${stored > 0 ? `: ${bytes(stored)} here` : ": to be fetched once"}`;
    const place = keeping === "files" ? "They are kept in this browser's private storage." : "This window has no private storage, so they are kept in memory until it closes.";
    const silent = fromDevice && !this.#pack.offline ? " The server does not answer; what is here is used." : "";
    byId("weights-words").textContent = `The networks' weights are fetched once and checked (SHA-256). ${place}${silent}`;
    byId<HTMLProgressElement>("weights-bar").value = index.bytes > 0 ? stored / index.bytes : 0;
    byId("weights-stages").replaceChildren(
      ...stagesOf(index).map(({ title }, n) => {
        const part = status.stages[n];
        const text = !part ? "" : part.stored === part.bytes ? bytes(part.bytes) : `${bytes(part.stored)} of ${bytes(part.bytes)}`;
        return el("li", {}, el("span", {}, title), el("span", {}, text));
      }),
    );
    byId("weights-licence").textContent = index.license ? `Licence: ${index.license.trim().split("\n")[0]?.slice(0, 120) ?? ""}` : "";
    this.#download.disabled = complete && !this.#stop;
    byId<HTMLButtonElement>("weights-delete").disabled = stored === 0;
  }

  #progress({ stored, bytes: all, doing, bytesPerSecond }: DownloadProgress): void {
    byId<HTMLProgressElement>("weights-bar").value = stored / all;
    const word = { fetch: "fetching", check: "checking", repair: "damaged, fetching again" }[doing];
    const speed = bytesPerSecond > 0 && doing !== "check" ? `, ${bytes(bytesPerSecond)}/s` : "";
    byId("weights-short").textContent = `${word}: ${bytes(stored)} of ${bytes(all)}${speed}`;
  }

  async #toggleDownload(): Promise<void> {
    if (this.#stop) {
      this.#stop.abort();
      return;
    }
    this.#stop = new AbortController();
    this.#download.textContent = "Stop";
    this.onDownload();
    try {
      await this.#pack.download(this.#stop.signal);
      say("The weights are on this device.");
    } catch (error) {
      if (!isCancelled(error)) fail(error, [{ text: "Try again", run: () => void this.#toggleDownload() }]);
    } finally {
      this.#stop = undefined;
      this.#download.textContent = "Download only";
      await this.refresh();
    }
  }

  async #delete(): Promise<void> {
    try {
      await this.#pack.remove();
      say("The weights were deleted from this device.");
    } catch (error) {
      fail(error);
    }
    await this.refresh();
  }

  async #switchOffline(): Promise<void> {
    try {
      localStorage.setItem("offline", String(this.#offline.checked));
    } catch {
      // A browser that keeps nothing simply forgets the choice.
    }
    try {
      await this.#pack.setOffline(this.#offline.checked);
    } catch (error) {
      fail(error);
    }
    await this.refresh();
  }

  async #room(): Promise<void> {
    const keep = byId("storage-keep");
    try {
      const { usage = 0, quota = 0 } = await navigator.storage.estimate();
      const persisted = await navigator.storage.persisted();
      byId("storage-words").textContent = `This site uses ${bytes(usage)} of ${bytes(quota)}. ${persisted ? "The browser keeps it until you delete it." : "The browser may clear it when room gets short."}`;
      keep.hidden = persisted;
    } catch {
      byId("storage-words").textContent = "";
      keep.hidden = true;
    }
  }

  async #keep(): Promise<void> {
    const granted = await navigator.storage.persist();
    await this.#room();
    if (!granted) byId("storage-words").textContent = "The browser did not agree; it may once you have installed the page or visited it more often.";
  }
}

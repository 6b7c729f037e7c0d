/** The weights as a page sees them. */
import { CANCELLED, cancelled, MaquetteError } from "./failure";
import type { DownloadProgress, PackStatus } from "./pack-protocol";
import { Channel } from "./rpc";

export class Pack {
  readonly url: string;
  #offline: boolean;
  readonly #worker: Worker;
  readonly #channel: Channel;
  #opened: Promise<PackStatus> | undefined;
  readonly #listeners = new Set<(progress: DownloadProgress) => void>();

  constructor(url: string, offline: boolean) {
    this.url = url;
    this.#offline = offline;
    this.#worker = new Worker(new URL("./pack.worker.ts", import.meta.url), { type: "module", name: "maquette weights" });
    this.#channel = new Channel(this.#worker);
    this.#channel.onnotice = (name, value) => {
      if (name === "download") for (const listener of this.#listeners) listener(value as DownloadProgress);
    };
  }

  /** Whether the network is never asked. */
  get offline(): boolean {
    return this.#offline;
  }

  /** Takes effect at once: the pack is opened anew. */
  setOffline(offline: boolean): Promise<PackStatus> {
    this.#offline = offline;
    this.#opened = undefined;
    return this.open();
  }

  /** Reads `pack.json`, from this device where the network is silent. */
  open(): Promise<PackStatus> {
    const opened = (this.#opened ??= this.#channel.call<PackStatus>("open", [this.url, this.#offline]));
    // A failure is not remembered: the next call tries again.
    opened.catch(() => {
      if (this.#opened === opened) this.#opened = undefined;
    });
    return opened;
  }

  async status(): Promise<PackStatus> {
    await this.open();
    return this.#channel.call<PackStatus>("status");
  }

  /** Fetches and checks every shard that is not here. */
  async download(signal?: AbortSignal): Promise<PackStatus> {
    if (signal?.aborted) throw cancelled();
    await this.open();
    const stop = () => this.stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      await this.#channel.call("download");
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    return this.status();
  }

  /** Ends downloads; what has come stays. */
  stop(): void {
    void this.#channel.call("stop").catch(() => {});
  }

  /** Deletes the weights from this device. */
  async remove(): Promise<PackStatus> {
    await this.open();
    await this.#channel.call("remove");
    return this.status();
  }

  onProgress(listener: (progress: DownloadProgress) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives the engine's worker a way to ask for stages. */
  connect(port: MessagePort): void {
    this.#worker.postMessage({ type: "port", port }, [port]);
  }

  close(): void {
    this.#worker.terminate();
    this.#channel.close(new MaquetteError(CANCELLED, "The pack was closed."));
  }
}

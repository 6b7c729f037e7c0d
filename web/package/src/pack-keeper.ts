/** A pack on this device: which shards are here and sound, and fetching those that are not, in the order they are needed. */
import { cancelled, isCancelled, MaquetteError } from "./failure";
import { type PackIndex, parsePack } from "./pack-index";
import type { DownloadProgress, PackStatus, StageShards } from "./pack-protocol";
import { fetchInto, fetchText } from "./shard-fetch";
import { hex, openStore, type ShardStore, type ShardWriter } from "./shard-store";

interface Waiting {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class PackKeeper {
  /** Shards whose digest was right in this session. */
  readonly #sound = new Set<number>();
  /** Shards that were asked for, first come first. */
  readonly #waiting = new Map<number, Waiting>();
  #stop = new AbortController();
  #working = false;
  #speed = new Speed();

  private constructor(
    readonly url: string,
    /** The text of `pack.json`. */
    readonly text: string,
    readonly index: PackIndex,
    readonly fromDevice: boolean,
    readonly offline: boolean,
    readonly store: ShardStore,
    readonly report: (progress: DownloadProgress) => void,
  ) {}

  /**
   * Reads `pack.json` from the network, or from this device if it is `offline` or the network does not answer. A shard that a
   * newer pack no longer names is dropped.
   */
  static async open(url: string, offline: boolean, report: (progress: DownloadProgress) => void): Promise<PackKeeper> {
    const store = await openStore(url);
    const stored = await store.text();
    let text = stored;
    let fromDevice = true;
    if (!offline) {
      try {
        text = await fetchText(url);
        fromDevice = false;
      } catch (error) {
        // Only silence may be bridged with what is here; a wrong answer must be seen.
        if (stored === undefined || !(error instanceof MaquetteError) || error.code === "maquette::pack::format") throw error;
      }
    }
    if (text === undefined) {
      throw new MaquetteError("maquette::pack::offline", "There are no weights on this device yet.", "Switch “Use offline” off to fetch them.");
    }
    const index = parsePack(text);
    if (!fromDevice && text !== stored) {
      await store.retain(index.shards);
      await store.putText(text);
    }
    return new PackKeeper(url, text, index, fromDevice, offline, store, report);
  }

  async status(): Promise<PackStatus> {
    const sizes = await Promise.all(this.index.shards.map(async (shard) => Math.min(await this.store.size(shard), shard.bytes)));
    const size = (shards: number[]) => shards.reduce((sum, shard) => sum + (sizes[shard] ?? 0), 0);
    const full = (shards: number[]) => shards.reduce((sum, shard) => sum + (this.index.shards[shard]?.bytes ?? 0), 0);
    const stored = size(sizes.map((_, shard) => shard));
    return {
      url: this.url,
      index: this.index,
      keeping: this.store.keeping,
      stored,
      stages: this.index.stages.map(({ key, shards }) => ({ key, stored: size(shards), bytes: full(shards) })),
      complete: stored === this.index.bytes,
      fromDevice: this.fromDevice,
    };
  }

  /** Makes every shard of a stage present and sound; then goes on with the stages after it, without being waited for. */
  async stage(key: string): Promise<StageShards> {
    const at = this.index.stages.findIndex((stage) => stage.key === key);
    const stage = this.index.stages[at];
    if (!stage) throw new MaquetteError("maquette::model::incomplete", `The pack has no stage “${key}”.`, "Use a pack of a whole model.");
    const needed = Promise.all(stage.shards.map((shard) => this.#need(shard)));
    for (const later of this.index.stages.slice(at + 1)) for (const shard of later.shards) this.#need(shard).catch(() => {});
    await needed;
    return this.store.hand(stage.shards.map((shard) => ({ shard, entry: this.#entry(shard) })));
  }

  async downloadAll(): Promise<void> {
    await Promise.all(this.index.shards.map((_, shard) => this.#need(shard)));
  }

  /** Ends downloads. What has come stays and is resumed later. */
  stop(): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    for (const waiting of this.#waiting.values()) waiting.reject(cancelled());
    this.#waiting.clear();
  }

  async remove(): Promise<void> {
    this.stop();
    this.#sound.clear();
    await this.store.removeAll();
    // The description stays, as this keeper goes on with it.
    await this.store.putText(this.text);
  }

  #entry(shard: number) {
    const entry = this.index.shards[shard];
    if (!entry) throw new MaquetteError("maquette::pack::format", `The pack has no shard ${shard}.`);
    return entry;
  }

  #need(shard: number): Promise<void> {
    if (this.#sound.has(shard)) return Promise.resolve();
    let waiting = this.#waiting.get(shard);
    if (!waiting) {
      waiting = Promise.withResolvers ? Promise.withResolvers<void>() : deferred();
      waiting.promise.catch(() => {});
      this.#waiting.set(shard, waiting);
    }
    void this.#work();
    return waiting.promise;
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      for (let next = this.#first(); next; next = this.#first()) {
        const [shard, waiting] = next;
        try {
          await exclusively(this.#entry(shard).sha256, () => this.#provide(shard, this.#stop.signal));
          this.#sound.add(shard);
          waiting.resolve();
        } catch (error) {
          waiting.reject(error);
          // What failed for one shard fails for the next; whoever still needs them asks again.
          if (!isCancelled(error)) for (const other of this.#waiting.values()) other.reject(error);
          if (!isCancelled(error)) this.#waiting.clear();
        }
        if (this.#waiting.get(shard) === waiting) this.#waiting.delete(shard);
      }
    } finally {
      this.#working = false;
    }
  }

  #first(): [number, Waiting] | undefined {
    return this.#waiting.entries().next().value;
  }

  /** Fetches what is missing of a shard and checks its digest; a damaged one is fetched again, once. */
  async #provide(shard: number, signal: AbortSignal): Promise<void> {
    const entry = this.#entry(shard);
    let doing: DownloadProgress["doing"] = "fetch";
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await this.#fetch(shard, doing, signal);
      await this.#tell(shard, "check", entry.bytes);
      const digest = hex(await crypto.subtle.digest("SHA-256", await this.store.bytes(entry)));
      if (digest === entry.sha256) return;
      doing = "repair";
      (await this.store.writer(entry, 0)).close();
    }
    throw new MaquetteError("maquette::pack::digest", `${entry.file} has the wrong SHA-256, and again after it was fetched anew.`, "The server's copy is damaged; tell whoever keeps it, or use another address.");
  }

  async #fetch(shard: number, doing: DownloadProgress["doing"], signal: AbortSignal): Promise<void> {
    const entry = this.#entry(shard);
    const have = Math.min(await this.store.size(entry), entry.bytes);
    if (have === entry.bytes) return;
    if (this.offline) {
      throw new MaquetteError("maquette::pack::offline", "Some of the weights are not on this device, or are damaged.", "Switch “Use offline” off to fetch them.");
    }
    let writer: ShardWriter = await this.store.writer(entry, have);
    const sink = {
      have,
      want: entry.bytes,
      restart: async () => {
        writer.close();
        writer = await this.store.writer(entry, 0);
        sink.have = 0;
      },
      write: (bytes: Uint8Array<ArrayBuffer>) => {
        writer.write(bytes);
        this.#speed.add(bytes.length);
        void this.#tell(shard, doing, sink.have + bytes.length);
      },
    };
    try {
      await this.#tell(shard, doing, have);
      await fetchInto(new URL(entry.file, this.url).href, sink, signal);
    } finally {
      writer.close();
    }
  }

  #told = 0;
  #others: { shard: number; bytes: number } = { shard: -1, bytes: 0 };

  async #tell(shard: number, doing: DownloadProgress["doing"], have: number): Promise<void> {
    if (this.#others.shard !== shard) {
      // What the other shards have does not change while this one comes.
      const { stored } = await this.status();
      this.#others = { shard, bytes: stored - Math.min(await this.store.size(this.#entry(shard)), this.#entry(shard).bytes) };
    }
    const now = performance.now();
    if (doing !== "check" && have < this.#entry(shard).bytes && now - this.#told < 100) return;
    this.#told = now;
    const stage = this.index.stages.find(({ shards }) => shards.includes(shard))?.key ?? "";
    this.report({ stored: this.#others.bytes + have, bytes: this.index.bytes, stage, doing, bytesPerSecond: this.#speed.value() });
  }
}

/** Bytes a second over the last few seconds. */
class Speed {
  #points: { at: number; bytes: number }[] = [];

  add(bytes: number): void {
    const at = performance.now();
    this.#points.push({ at, bytes });
    while (this.#points.length > 2 && at - (this.#points[0]?.at ?? at) > 4000) this.#points.shift();
  }

  value(): number {
    const first = this.#points[0];
    if (!first) return 0;
    const seconds = Math.max((performance.now() - first.at) / 1000, 0.2);
    return this.#points.reduce((sum, { bytes }) => sum + bytes, 0) / seconds;
  }
}

/** One tab at a time writes a shard. */
async function exclusively<T>(digest: string, work: () => Promise<T>): Promise<T> {
  if (!navigator.locks) return work();
  return (await navigator.locks.request(`maquette-shard-${digest}`, work)) as T;
}

function deferred(): Waiting {
  let resolve: () => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => ((resolve = yes), (reject = no)));
  return { promise, resolve, reject };
}

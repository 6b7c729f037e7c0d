/** The engine as a page sees it: one object, promises, progress, abort signals. */
import type { EngineEvent, Facts, Health } from "./engine-contract";
import { CANCELLED, cancelled, DEVICE_LOST, FAULT, fromPlain, MaquetteError, plain, type PlainFailure } from "./failure";
import { Pack } from "./pack";
import type { DownloadProgress } from "./pack-protocol";
import type { Cutout, Model, ModelFile, ModelFormat, ModelPicture } from "./results";
import { Channel } from "./rpc";

export interface OpenSettings {
  /** Where `pack.json` lies. */
  pack: string | URL;
  /** The bound module's JavaScript file; its `_bg.wasm` lies beside it. */
  engine: string | URL;
  /** U²-Netp's weights, for pictures that are not cut out yet. */
  matting: string | URL;
  /** Never asks the network for weights. */
  offline?: boolean;
  /** `web` and `minimum` behave like the weakest device. */
  tier?: "auto" | "base" | "web" | "subgroup";
  precision?: "auto" | "f32" | "f16";
  limits?: "adapter" | "minimum";
  features?: string[];
  /** The engine was lost and is started anew at the next call; says why. */
  onLost?: (error: MaquetteError) => void;
}

export interface PictureSettings {
  /** Takes the whole picture as the subject. */
  keepBackground?: boolean;
  /** Goes on with a cut-out that may give a poor model. */
  force?: boolean;
  maxPixels?: number;
  signal?: AbortSignal;
}

export interface GenerateSettings {
  seed?: number;
  /** Steps of both samplers. */
  steps?: number;
  structureSteps?: number;
  latentSteps?: number;
  guidance?: number;
  structureGuidance?: number;
  latentGuidance?: number;
  multi?: "stochastic" | "multidiffusion";
  /** Noise in place of the seed: safetensors with `ss_noise` and `slat_noise`. */
  noise?: Uint8Array;
  /** Triangles wanted; 0 keeps all. */
  faces?: number;
  /** Texels a side, a power of two; 0 keeps colours on the vertices. */
  textureSize?: number;
  fillHoles?: boolean;
  removeHidden?: boolean;
  unwrap?: "charts" | "boxes";
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/** Weights that come, or stages that run. */
export type Progress = ({ kind: "download" } & DownloadProgress) | EngineEvent;

export interface SplatView {
  width: number;
  height: number;
  /** Radians around the upright axis and above the horizon. */
  yaw: number;
  pitch: number;
  /** 2 shows the whole object. */
  distance: number;
}

/** How long a running step may take to notice that it was cancelled before its worker is ended. */
const CANCEL_PATIENCE = 3000;

/** One life of the engine's worker. */
interface Life {
  worker: Worker;
  channel: Channel;
  facts: Promise<Facts>;
  ended: boolean;
}

interface Remote {
  life: Life;
  id: number;
}

export class Maquette {
  /** The weights: status, download, delete. */
  readonly pack: Pack;
  readonly #settings: OpenSettings;
  #life: Life | undefined;
  /** Settles when the engine is free: it does one thing at a time. */
  #turn: Promise<void> = Promise.resolve();
  #progress: ((progress: Progress) => void) | undefined;
  readonly #cutouts = new WeakMap<Cutout, { remote: Remote; picture: Blob; settings: PictureSettings; mask?: Uint8Array }>();

  private constructor(settings: OpenSettings) {
    this.#settings = settings;
    this.pack = new Pack(String(settings.pack), settings.offline ?? false);
    this.pack.onProgress((progress) => this.#progress?.({ kind: "download", ...progress }));
  }

  /** Prepares everything; nothing is computed or fetched before it is needed. */
  static open(settings: OpenSettings): Maquette {
    return new Maquette(settings);
  }

  /** What the engine says of this browser; starts a worker of its own and ends it. */
  static async facts(engine: string | URL): Promise<Facts> {
    const { worker, channel } = spawn(() => {});
    try {
      return await channel.call<Facts>("facts", [String(engine)]);
    } finally {
      worker.terminate();
    }
  }

  /** Starts the engine if it does not run, and says what it runs on. */
  facts(): Promise<Facts> {
    return this.#live().facts;
  }

  /** Cuts the subject out of a picture. */
  async cutOut(picture: Blob, settings: PictureSettings = {}): Promise<Cutout> {
    const { signal, ...options } = settings;
    return this.#work(signal, async (life) => {
      const bytes = new Uint8Array(await picture.arrayBuffer());
      const raw = await life.channel.call<RawCutout>("cutout", [bytes, JSON.stringify(options)], [bytes.buffer]);
      return this.#cutout(raw, life, picture, settings);
    });
  }

  /** Makes a model of one object from one or several pictures of it. */
  generate(pictures: Cutout | Cutout[], settings: GenerateSettings = {}): Promise<Model> {
    return this.#make(settings, async (life, options) => {
      const ids: number[] = [];
      for (const cutout of [pictures].flat()) ids.push(await this.#present(cutout, life));
      return life.channel.call<Made>("generate", [ids, options, settings.noise]);
    });
  }

  /** Makes a model from `gaussians.safetensors` and `mesh.safetensors` of a dump; the settings are those of its run. */
  resume(gaussians: Uint8Array, mesh: Uint8Array, settings: GenerateSettings = {}): Promise<Model> {
    return this.#make(settings, (life, options) => life.channel.call<Made>("resume", [gaussians, mesh, options, settings.noise]));
  }

  /**
   * Compiles the kernels' pipelines, so that a first run need not: worth doing while weights are fetched. A `generate` whose weights
   * are still to come does it by itself.
   */
  warm(): Promise<void> {
    return this.#work(undefined, (life) => life.channel.call<void>("warm"));
  }

  /** A picture of the Gaussians of the model that is being made, from its `gaussians` event on. */
  splats(view: SplatView): Promise<ImageData> {
    return splats(this.#live(), undefined, view);
  }

  /** Bytes in use: the module's heap and the graphics card's memory. */
  memory(): Promise<{ heap: number; gpuInUse: number; gpuReserved: number }> {
    return this.#live().channel.call("memory");
  }

  /** Loses the device as a driver reset would; for tests. */
  destroyDevice(): Promise<void> {
    return this.#live().channel.call("destroyDevice");
  }

  /** Ends the workers. */
  close(): void {
    this.#end(new MaquetteError(CANCELLED, "The engine was closed."));
    this.pack.close();
  }

  #live(): Life {
    if (this.#life) return this.#life;
    const { worker, channel } = spawn((error) => this.#lose(life, error));
    channel.onnotice = (name, value) => {
      if (name === "event") this.#progress?.(value as EngineEvent);
      if (name === "fault") this.#lose(life, fromPlain(value as PlainFailure));
    };
    const { tier, precision, limits, features, engine, matting } = this.#settings;
    const ports = new MessageChannel();
    this.pack.connect(ports.port1);
    worker.postMessage({ type: "port", port: ports.port2 }, [ports.port2]);
    const options = JSON.stringify({ tier, precision, limits, features });
    const facts = channel.call<Facts>("start", [{ engine: String(engine), matting: String(matting), options }]);
    const life: Life = { worker, channel, facts, ended: false };
    // Whoever waits for the facts hears of a failure; the next call starts anew.
    facts.catch(() => this.#end(undefined, life));
    this.#life = life;
    return life;
  }

  /** Runs one thing after another on the engine, each with an end that an abort or a lost device always reaches. */
  async #work<T>(signal: AbortSignal | undefined, work: (life: Life) => Promise<T>): Promise<T> {
    const before = this.#turn;
    let done: () => void = () => {};
    this.#turn = new Promise((resolve) => (done = resolve));
    try {
      await before;
      return await this.#try(signal, work);
    } finally {
      done();
    }
  }

  async #try<T>(signal: AbortSignal | undefined, work: (life: Life) => Promise<T>): Promise<T> {
    if (signal?.aborted) throw cancelled();
    const life = this.#live();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const abort = () => {
      life.channel.notify("cancel", undefined);
      this.pack.stop();
      timer = setTimeout(() => this.#end(cancelled(), life), CANCEL_PATIENCE);
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await life.facts;
      if (signal?.aborted) throw cancelled();
      return await work(life);
    } catch (error) {
      if (signal?.aborted) throw cancelled();
      const { code, message, help } = plain(error);
      const failure = new MaquetteError(code, message, help);
      if (code === DEVICE_LOST || code === FAULT) this.#lose(life, failure);
      throw failure;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Gets the decoders' outputs from `decoded`, then finishes the surface. */
  async #make(settings: GenerateSettings, decoded: (life: Life, options: string) => Promise<Made>): Promise<Model> {
    const { onProgress, signal, noise: _, faces, textureSize, fillHoles, removeHidden, unwrap, ...sampling } = settings;
    const surface = { faces, textureSize, fillHoles, removeHidden, unwrap };
    this.#progress = onProgress;
    try {
      await this.pack.open();
      return await this.#work(signal, async (life) => {
        const made = await decoded(life, JSON.stringify(sampling));
        const built = await life.channel.call<{ triangles: number; health: Health }>("asset", [made.id, JSON.stringify(surface)]);
        return model({ life, id: made.id }, made.gaussians, built.triangles, built.health);
      });
    } finally {
      this.#progress = undefined;
    }
  }

  #lose(life: Life, error: MaquetteError): void {
    if (life.ended) return;
    this.#end(error, life);
    this.#settings.onLost?.(error);
  }

  #end(reason?: MaquetteError, life: Life | undefined = this.#life): void {
    if (!life || life.ended) return;
    life.ended = true;
    life.worker.terminate();
    life.channel.close(reason ?? new MaquetteError(FAULT, "The engine was ended."));
    if (this.#life === life) this.#life = undefined;
  }

  #cutout(raw: RawCutout, life: Life, picture: Blob, settings: PictureSettings, mask?: Uint8Array): Cutout {
    const { width, height, rgba, warnings, id } = raw;
    const cutout: Cutout = {
      width,
      height,
      rgba,
      warnings,
      withMask: (painted) =>
        this.#work(undefined, async (now) => {
          const base = await this.#present(cutout, now);
          return this.#cutout(await now.channel.call<RawCutout>("mask", [base, painted]), now, picture, settings, painted);
        }),
    };
    this.#cutouts.set(cutout, { remote: { life, id }, picture, settings, ...(mask ? { mask } : {}) });
    return cutout;
  }

  /** The cut-out's number in this life of the engine; made again there if the engine was started anew since. */
  async #present(cutout: Cutout, life: Life): Promise<number> {
    const known = this.#cutouts.get(cutout);
    if (!known) throw new MaquetteError(FAULT, "That cut-out was made by another engine.");
    if (known.remote.life === life) return known.remote.id;
    const bytes = new Uint8Array(await known.picture.arrayBuffer());
    const { signal: _, ...options } = known.settings;
    let raw = await life.channel.call<RawCutout>("cutout", [bytes, JSON.stringify(options)], [bytes.buffer]);
    if (known.mask) raw = await life.channel.call<RawCutout>("mask", [raw.id, known.mask]);
    known.remote = { life, id: raw.id };
    return raw.id;
  }
}

interface Made {
  id: number;
  gaussians: number;
}

interface RawCutout {
  id: number;
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  warnings: string[];
}

function spawn(onError: (error: MaquetteError) => void): { worker: Worker; channel: Channel } {
  const worker = new Worker(new URL("./engine.worker.ts", import.meta.url), { type: "module", name: "maquette engine" });
  const channel = new Channel(worker);
  worker.addEventListener("error", (event) => {
    const error = new MaquetteError(FAULT, `The engine stopped unexpectedly (${event.message || "no reason given"}).`, "It is started anew; try again.");
    channel.close(error);
    onError(error);
  });
  return { worker, channel };
}

function model({ life, id }: Remote, gaussians: number, triangles: number, health: Health): Model {
  return {
    gaussians,
    triangles,
    health,
    files: (format: ModelFormat) => life.channel.call<ModelFile[]>("files", [id, format, "{}"]),
    dump: () => life.channel.call<ModelFile[]>("dump", [id]),
    splats: (view) => splats(life, id, view),
    picture: (wanted) => picture(life, id, wanted),
    release: () => void life.channel.call("dropObject", [id]).catch(() => {}),
  };
}

async function splats(life: Life, id: number | undefined, view: SplatView): Promise<ImageData> {
  const { width, height, yaw, pitch, distance } = view;
  const pixels = await life.channel.call<Uint8ClampedArray<ArrayBuffer>>("splats", [id, [width, height, yaw, pitch, distance]]);
  return new ImageData(pixels, width, height);
}

async function picture(life: Life, id: number, { kind, show = "texture", side, frames, signal }: ModelPicture): Promise<Blob> {
  if (signal?.aborted) throw cancelled();
  const stop = () => void life.channel.call("stopPicture", [id]).catch(() => {});
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const bytes = await life.channel.call<Uint8Array<ArrayBuffer>>("picture", [id, show, { kind, side, frames }]);
    return new Blob([bytes], { type: kind === "turntable" ? "image/webp" : "image/png" });
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/**
 * The engine's worker: hosts the WASM module, so that no computation ever stalls the page, and gives it bytes of shards at
 * once when it asks (the private file system has synchronous reads in workers only).
 */
import type { Asset, Engine, EngineCutout, EngineEvent, EngineModule, Generated } from "./engine-contract";
import { cancelled, MaquetteError, plain } from "./failure";
import type { StageShards } from "./pack-protocol";
import { Channel, type Handlers, Moved } from "./rpc";
import { busy, privateFolder } from "./shard-store";
import { fetchBytes } from "./shard-fetch";

export interface StartSettings {
  /** The bound module's JavaScript file. */
  engine: string;
  matting: string;
  options: string;
}

let module: EngineModule | undefined;
let engine: Engine | undefined;
let settings: StartSettings | undefined;
let pack: Channel | undefined;
let modelText = "";
let mattingThere = false;
/** Set when the running call shall stop, for the parts of it in which the engine is not at work. */
let stopped = false;
/** The compiling of the kernels' pipelines, once begun. */
let warming: Promise<void> | undefined;
let next = 1;
const cutouts = new Map<number, EngineCutout>();
const objects = new Map<number, { generated: Generated; asset?: Asset }>();

async function load(url: string): Promise<EngineModule> {
  if (module) return module;
  const loaded = (await import(/* @vite-ignore */ url)) as EngineModule;
  await loaded.default({ module_or_path: url.replace(/\.js$/, "_bg.wasm") });
  module = loaded;
  return loaded;
}

function running(): Engine {
  if (!engine) throw new MaquetteError("maquette::fault", "The engine was not started.");
  return engine;
}

function found<T>(map: Map<number, T>, id: number): T {
  const value = map.get(id);
  if (value === undefined) throw new MaquetteError("maquette::fault", "That object is gone: the engine was started anew since.", "Make it again.");
  return value;
}

function meshOf(asset: Asset | undefined): Asset {
  if (!asset) throw new MaquetteError("maquette::fault", "That object has no mesh yet.");
  return asset;
}

/** The running stage's shards: open files, or bytes. */
const shards = new Map<number, FileSystemSyncAccessHandle | Uint8Array<ArrayBuffer>>();

function read(shard: number, start: number, end: number): Uint8Array {
  const source = shards.get(shard);
  if (source === undefined) throw new Error(`shard ${shard} was not asked for`);
  if (source instanceof Uint8Array) return source.subarray(start, end);
  const bytes = new Uint8Array(end - start);
  const got = source.read(bytes, { at: start });
  if (got !== bytes.length) throw new Error(`shard ${shard} ended at byte ${start + got}`);
  return bytes;
}

function closeShards(): void {
  for (const source of shards.values()) if (!(source instanceof Uint8Array)) source.close();
  shards.clear();
}

async function ensure(stage: string): Promise<void> {
  if (!pack) throw new MaquetteError("maquette::fault", "There is no pack.");
  const handed = await pack.call<StageShards>("stage", [stage]);
  closeShards();
  if (handed.keeping === "memory") {
    for (const { shard, blob } of handed.shards) shards.set(shard, new Uint8Array(await blob.arrayBuffer()));
    return;
  }
  const folder = await privateFolder(handed.folder, false);
  if (!folder) throw new MaquetteError("maquette::pack::offline", "The weights are gone from this device.", "They were deleted meanwhile; run again to fetch them.");
  for (const { shard, name } of handed.files) {
    const file = await folder.getFileHandle(name);
    // Several tabs may read at once where the browser knows this mode; the others ignore it and lock.
    const open = file.createSyncAccessHandle as (options: { mode: string }) => Promise<FileSystemSyncAccessHandle>;
    const handle = await open.call(file, { mode: "read-only" }).catch((error: unknown) => {
      throw busy(error);
    });
    shards.set(shard, handle);
  }
}

/** Compiles every kernel's pipeline, once in the engine's life; one that computes wrongly here is told of. Nothing may run beside it. */
function warm(): Promise<void> {
  if (!warming) {
    warming = compile();
    // What failed is tried again by whoever asks next.
    warming.catch(() => (warming = undefined));
  }
  return warming;
}

async function compile(): Promise<void> {
  const begun = performance.now();
  report({ kind: "compiling" });
  const lines = JSON.parse(await running().warm()) as { name: string; ok: boolean }[];
  const wrong = lines.filter(({ ok }) => !ok).map(({ name }) => name);
  if (wrong.length > 0) report({ kind: "note", text: `This device computes ${wrong.join(", ")} differently than it should; the model may be wrong.` });
  report({ kind: "compiled", kernels: lines.length, seconds: (performance.now() - begun) / 1000 });
}

/** While the first stage's weights come there is nothing to run, so pipelines are compiled meanwhile. What is here already is not waited for. */
async function prepare(): Promise<void> {
  if (!pack) return;
  if (await pack.call<boolean>("complete")) {
    await warming;
    return;
  }
  const [first] = JSON.parse(running().stages()) as { key: string }[];
  const fetching = first ? pack.call("stage", [first.key]) : Promise.resolve();
  // A failed download is told at once; the next run waits for the rest of the compiling.
  await Promise.all([fetching, warm()]);
}

const page: Channel = new Channel(self as never, {
  async facts(url: string) {
    return JSON.parse(await (await load(url)).facts()) as unknown;
  },

  async start(wanted: StartSettings) {
    settings = wanted;
    engine = await (await load(wanted.engine)).Engine.open(wanted.options);
    return JSON.parse(engine.facts()) as unknown;
  },

  async cutout(picture: Uint8Array, options: string) {
    let trouble: unknown;
    if (!mattingThere && settings) {
      try {
        running().setMatting(await fetchBytes(settings.matting));
        mattingThere = true;
      } catch (error) {
        // A picture that is transparent already needs no network to cut it out.
        trouble = error;
      }
    }
    await warming;
    const cutout = await running().cutout(picture, options).catch((error: unknown) => {
      throw trouble ?? error;
    });
    return described(cutout);
  },

  mask(id: number, mask: Uint8Array) {
    return described(found(cutouts, id).withMask(mask));
  },

  dropCutout(id: number) {
    cutouts.get(id)?.free();
    cutouts.delete(id);
  },

  async generate(ids: number[], options: string, noise?: Uint8Array) {
    stopped = false;
    await setModel();
    running().setNoise(noise);
    await prepare();
    if (stopped) throw cancelled();
    try {
      const pictures = ids.map((id) => found(cutouts, id));
      return kept(await running().generate(pictures, options, tell, ensure));
    } finally {
      closeShards();
    }
  },

  /** Takes up a run from its dump, after the decoders. */
  async resume(gaussians: Uint8Array, mesh: Uint8Array, options: string, noise?: Uint8Array) {
    await setModel();
    running().setNoise(noise);
    return kept(running().resume(gaussians, mesh, options));
  },

  async asset(id: number, options: string) {
    const object = found(objects, id);
    const asset = await object.generated.asset(options, tell);
    object.asset?.free();
    object.asset = asset;
    return { triangles: asset.triangles, health: JSON.parse(asset.health()) as unknown };
  },

  files(id: number, format: string, options: string) {
    const { generated, asset } = found(objects, id);
    if (format === "ply") return moved([{ name: "model.ply", bytes: generated.gaussianPly() }]);
    return moved(meshOf(asset).file(format, options));
  },

  dump(id: number) {
    const entries = [...found(objects, id).generated.dump()];
    return moved(entries.map(([name, bytes]) => ({ name, bytes })));
  },

  /** Splats of a finished object, or of the one that is being made. */
  async splats(id: number | undefined, view: [number, number, number, number, number]) {
    const source = id === undefined ? running() : found(objects, id).generated;
    const pixels = await source.renderSplats(...view);
    return new Moved(pixels, [pixels.buffer as ArrayBuffer]);
  },

  /** A picture to keep, of an object's mesh or of its splats. */
  async picture(id: number, show: "texture" | "normals" | "splats", wanted: { kind: string; side?: number; frames?: number }) {
    const { generated, asset } = found(objects, id);
    const bytes = await (show === "splats" ? generated.picture(JSON.stringify(wanted)) : meshOf(asset).picture(JSON.stringify({ ...wanted, show })));
    return new Moved(bytes, [bytes.buffer]);
  },

  stopPicture(id: number) {
    const object = objects.get(id);
    object?.generated.cancel();
    object?.asset?.cancel();
  },

  dropObject(id: number) {
    const object = objects.get(id);
    objects.delete(id);
    object?.asset?.free();
    object?.generated.free();
  },

  warm,
  destroyDevice: () => running().destroyDevice(),
  memory: () => JSON.parse(running().memory()) as unknown,
} satisfies Handlers);

/** Gives the engine the pack's description, once a pack. */
async function setModel(): Promise<void> {
  if (!pack) throw new MaquetteError("maquette::fault", "There is no pack.");
  const text = await pack.call<string>("text");
  if (text !== modelText) running().setModel(text, read);
  modelText = text;
}

function kept(generated: Generated) {
  const id = next++;
  objects.set(id, { generated });
  return { id, gaussians: generated.gaussians };
}

function tell(json: string): void {
  report(JSON.parse(json) as EngineEvent);
}

function report(event: EngineEvent): void {
  page.notify("event", event);
}

function described(cutout: EngineCutout) {
  const id = next++;
  cutouts.set(id, cutout);
  // A copy of exactly these pixels: what the module hands out may be a view of something larger.
  const rgba = new Uint8ClampedArray(cutout.rgba());
  const warnings = JSON.parse(cutout.warnings()) as string[];
  return new Moved({ id, width: cutout.width, height: cutout.height, rgba, warnings }, [rgba.buffer]);
}

function moved(files: { name: string; bytes: Uint8Array }[]) {
  const copies = files.map(({ name, bytes }) => ({ name, bytes: new Uint8Array(bytes) }));
  return new Moved(copies, copies.map(({ bytes }) => bytes.buffer));
}

// A trap of the WASM machine inside a promise leaves that promise open for ever; only this tells of it.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  page.notify("fault", plain(event.reason));
});

page.onnotice = (name) => {
  if (name !== "cancel") return;
  stopped = true;
  engine?.cancel();
  for (const { generated } of objects.values()) generated.cancel();
};

self.addEventListener("message", (event: MessageEvent<{ type?: string; port?: MessagePort }>) => {
  if (event.data.type !== "port" || !event.data.port) return;
  pack = new Channel(event.data.port);
  event.data.port.start();
});

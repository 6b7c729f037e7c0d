// The engine in a worker, as a page would use it: functions that `engine.mjs` calls by name.
let api, engine, object, asset, pack, shards;
let read = [];
let largest = 0;

// A panic is told to those who wait for it; the worker itself goes on until it is replaced.
addEventListener("error", (event) => {
  if (event.error?.code === "maquette::fault") event.preventDefault();
});

const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
const tell = (json) => postMessage({ event: JSON.parse(json) });
const post = (name, body) => fetch(`/${name}`, { method: "POST", body });

function reader(shard, start, end) {
  largest = Math.max(largest, end - start);
  return shards.get(shard).subarray(start, end);
}

/** Fetches what a stage needs, as late as the engine asks for it. */
async function ensure(stage) {
  read.push(stage);
  for (const { key, shards: needed } of JSON.parse(engine.stages())) {
    if (key !== stage) continue;
    for (const shard of needed) {
      if (!shards.has(shard)) shards.set(shard, await bytes(`/pack/${pack.shards[shard].file}`));
    }
  }
}

async function cutout() {
  return engine.cutout(await bytes("/goldens/e2e/input.png"), "{}");
}

const calls = {
  /** `hide`: no WebGPU; `blocked`: WebGPU without an adapter; `memory`: GB that the device says it has. */
  async load({ hide, blocked, memory }) {
    if (memory) Object.defineProperty(navigator, "deviceMemory", { value: memory });
    if (hide) Object.defineProperty(navigator, "gpu", { value: undefined });
    if (blocked) Object.defineProperty(navigator.gpu, "requestAdapter", { value: async () => null, configurable: true });
    api = await import("/engine/maquette_web.js");
    await api.default();
  },
  async facts() {
    return JSON.parse(await api.facts());
  },
  async open(options) {
    engine = await api.Engine.open(JSON.stringify(options ?? {}));
    const text = await (await fetch("/pack/pack.json")).text();
    pack = JSON.parse(text);
    shards = new Map();
    engine.setModel(text, reader);
    engine.setNoise(await bytes("/reference.safetensors"));
    return JSON.parse(engine.facts());
  },
  stages: () => JSON.parse(engine.stages()),
  memory: () => ({ ...JSON.parse(engine.memory()), largest }),
  async generate(options = {}) {
    read = [];
    object = await engine.generate([await cutout()], JSON.stringify(options), tell, ensure);
    return { gaussians: object.gaussians, read, largest, memory: JSON.parse(engine.memory()) };
  },
  async dump() {
    for (const [name, file] of object.dump()) await post(`dump/${name}`, file);
    await post("dump/object.ply", object.gaussianPly());
  },
  /** From the decoders' files, as `maquette generate --resume` does. */
  async resume(options = {}) {
    const [gaussians, mesh] = [await bytes("/posted/dump/gaussians.safetensors"), await bytes("/posted/dump/mesh.safetensors")];
    object = engine.resume(gaussians, mesh, JSON.stringify(options));
  },
  async asset(options) {
    asset = await object.asset(JSON.stringify(options), tell);
    for (const [format, settings] of [["glb"], ["mesh.ply"], ["obj"], ["stl"], ["glb", { name: "small", meshopt: true, quantize: true }], ["glb", { name: "webp", textureFormat: "webp" }]]) {
      for (const { name, bytes: file } of asset.file(format, settings && JSON.stringify(settings))) await post(`files/${name}`, file);
    }
    return { triangles: asset.triangles, health: JSON.parse(asset.health()) };
  },
  async splats(name, width, height) {
    const drawn = { engine: () => engine, object: () => object, dump: () => api.Generated.fromDump(object.dump().get("gaussians.safetensors"), object.dump().get("mesh.safetensors")) };
    return [...(await drawn[name]().renderSplats(width, height, 0.6, 0.3, 2))];
  },
  /** Pictures that are stopped before they began: both have to end with a code. */
  async stoppedPictures() {
    const turn = '{"kind":"turntable","side":64,"frames":8}';
    const outcomes = await Promise.allSettled([object, asset].map((drawn) => {
      const drawing = drawn.picture(turn);
      drawn.cancel();
      return drawing;
    }));
    return outcomes.map(({ reason }) => reason?.code);
  },
  async matting() {
    engine.setMatting(await bytes("/models/u2netp.safetensors"));
    const found = await engine.cutout(await bytes("/goldens/preprocess/j1.in.jpg"), JSON.stringify({ force: true }));
    const { width, height } = found;
    const began = performance.now();
    for (let i = 0; i < 10_000; i++) found.width;
    const call = (performance.now() - began) / 10; // microseconds
    const alpha = found.rgba().filter((_, i) => i % 4 === 3);
    const painted = found.withMask(alpha.map((_, i) => (i % width > width / 4 ? 255 : 0)));
    const wanted = painted.rgba().filter((_, i) => i % 4 === 3);
    return { size: [width, height], alpha: [Math.min(...new Set(alpha)), Math.max(...new Set(alpha))], painted: [...new Set(wanted)].sort(), warnings: JSON.parse(found.warnings()), call };
  },
  /** A panic of the module, while something else is under way. */
  async fault() {
    const outcomes = await Promise.allSettled([api.facts(), api.fail(), engine.warm()]);
    outcomes.push(...(await Promise.allSettled([api.facts(), cutout()])));
    return outcomes.map(({ reason }) => reason && { code: reason.code, message: reason.message, help: reason.help });
  },
  async warm() {
    return JSON.parse(await engine.warm());
  },
  async wrong(which) {
    const refuse = async () => {
      throw Object.assign(new Error("the network is gone"), { code: "page::network" });
    };
    const one = which === "noWebGpu" ? undefined : await cutout();
    const tries = {
      picture: () => engine.cutout(new Uint8Array([1, 2, 3, 4]), "{}"),
      option: () => engine.generate([one], '{"sede":1}', tell, ensure),
      list: () => engine.generate([{}], "{}", tell, ensure),
      ensure: () => engine.generate([one], "{}", tell, refuse),
      pack: () => engine.setModel("{}", reader),
      order: () => new api.Engine(),
      size: () => object.renderSplats(0, 10, 0, 0, 2),
      format: () => asset.file("fbx"),
      turn: () => asset.picture('{"kind":"turntable","side":2048,"frames":200}'),
      show: () => object.picture('{"kind":"four-views","show":"normals"}'),
      noWebGpu: () => api.Engine.open("{}"),
    };
    return tries[which]();
  },
  async shortRead() {
    const text = await (await fetch("/pack/pack.json")).text();
    engine.setModel(text, () => new Uint8Array(3));
    try {
      return await engine.generate([await cutout()], "{}", tell, async () => {});
    } finally {
      engine.setModel(text, reader);
    }
  },
};

onmessage = async ({ data }) => {
  // Told while a call is under way, as the page's Cancel button would.
  if (data.cancel) return engine.cancel();
  if (data.destroy) return engine.destroyDevice();
  if (data.cancelAsset) return object.cancel();
  try {
    postMessage({ value: await calls[data.name](...data.args) });
  } catch (error) {
    postMessage({ error: { message: String(error?.message ?? error), code: error?.code, help: error?.help, kind: error?.constructor?.name } });
  }
};

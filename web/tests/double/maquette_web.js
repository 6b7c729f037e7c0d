// A test double of the WASM module `maquette-web`: the same names, made-up results, and times short enough to test the page
// in all its states. What it computes means nothing; that it reads every shard of the pack, and only when asked, does.
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const failure = (code, message, help) => Object.assign(new Error(message), { code, help });
const facts = {
  webgpu: true,
  adapter: { vendor: "test", architecture: "double", device: "", description: "Test double", software: true },
  tier: "base",
  features: { f16: false, subgroups: false, timestamps: true },
  limits: { storageBinding: 134217728, buffer: 268435456, workgroupMemory: 16384, invocations: 256, storageBuffers: 8, groups: 65535 },
  precision: "f32",
  trial: { open: 12, first: 30, warm: 1.5 },
  advice: ["This is a test double: nothing is computed."],
};
const STEP = 60;

export default async function init() {}
async function askFacts() {
  return JSON.stringify(facts);
}
export { askFacts as facts };

export class Engine {
  #cancelled = false;
  #lost = false;
  #pack;
  #read;
  #splats = false;
  #busy = false;

  static async open() {
    await wait(30);
    return new Engine();
  }
  facts() {
    return JSON.stringify(facts);
  }
  setModel(text, read) {
    this.#pack = JSON.parse(text);
    this.#read = read;
  }
  setMatting(bytes) {
    if (bytes.length < 1e6) throw failure("maquette::model::damaged", "the matting weights are too short", "");
  }
  setNoise() {}
  stages() {
    return JSON.stringify(Object.keys(this.#pack.stages).map((key) => ({ key })));
  }
  async warm() {
    await this.#alone(() => wait(5 * STEP));
    globalThis.warmed = (globalThis.warmed ?? 0) + 1;
    return JSON.stringify([{ name: "linear f32", ok: true }, { name: "attention f32", ok: true }]);
  }
  /** As the real engine, it does one thing at a time. */
  async #alone(work) {
    if (this.#busy) throw failure("maquette::usage", "the engine is at work", "Wait for it.");
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
  resume() {
    return new Generated(4096);
  }
  cutout(bytes, options) {
    return this.#alone(() => this.#cutout(bytes, options));
  }
  async #cutout(bytes, options) {
    const { keepBackground, force } = JSON.parse(options);
    await wait(50);
    let bitmap;
    try {
      bitmap = await createImageBitmap(new Blob([bytes]));
    } catch {
      throw failure("maquette::picture::format", "The content is no picture in a known format.", "Use PNG, JPEG or WebP.");
    }
    const scale = Math.min(1, 1024 / Math.max(bitmap.width, bitmap.height));
    const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const transparent = data.some((value, index) => index % 4 === 3 && value < 255);
    if (!transparent && !keepBackground) {
      if (bitmap.width === 16 && !force) throw failure("maquette::picture::mask", "the cut-out looks wrong: almost nothing is left", "Paint the mask.");
      const [w, h] = [canvas.width, canvas.height];
      for (let i = 0; i < w * h; i += 1) {
        const [x, y] = [(i % w) / w - 0.5, Math.floor(i / w) / h - 0.5];
        data[4 * i + 3] = x * x + y * y < 0.16 ? 255 : 0;
      }
    }
    return new Cutout(canvas.width, canvas.height, new Uint8Array(data), transparent ? [] : ["The subject touches the picture's edge."]);
  }
  #check() {
    if (this.#lost) throw failure("maquette::gpu::lost", "the device was lost", "Start again.");
    if (this.#cancelled) throw failure("maquette::cancelled", "stopped before the end", "");
  }
  generate(cutouts, options, onEvent, ensure) {
    return this.#alone(() => this.#generate(cutouts, options, onEvent, ensure));
  }
  async #generate(cutouts, options, onEvent, ensure) {
    this.#cancelled = false;
    this.#splats = false;
    if (!(cutouts[0] instanceof Cutout)) throw failure("maquette::fault", "no cut-out", "");
    const steps = JSON.parse(options).steps ?? 12;
    // A trap of the WASM machine: nobody hears of it but whoever listens for unhandled rejections.
    if (steps === 99) {
      Promise.reject(new WebAssembly.RuntimeError("unreachable"));
      return new Promise(() => {});
    }
    if (steps === 98) throw failure("maquette::gpu::memory", "the graphics card has no more memory", "Use a smaller model pack.");
    const plan = [
      ["image_cond_checkpoint", "encode", 1],
      ["sparse_structure_flow_model", "structure", steps],
      ["slat_flow_model", "latent", steps],
      ["slat_decoder_gs", "gaussians", 1],
      ["slat_decoder_mesh", "mesh", 1],
    ];
    for (const [key, stage, count] of plan) {
      if (this.#pack.stages[key]) await ensure(key);
      if (stage === "structure" && this.#pack.stages.sparse_structure_decoder) await ensure("sparse_structure_decoder");
      this.#check();
      this.#readAll(stage === "structure" ? "sparse_structure_decoder" : key);
      await this.#stage(onEvent, stage, count);
      if (stage === "gaussians") {
        this.#splats = true;
        onEvent(JSON.stringify({ kind: "gaussians", count: 4096 }));
        await wait(4 * STEP);
      }
    }
    return new Generated(4096);
  }
  #readAll(key) {
    for (const tensor of this.#pack.stages[key]?.tensors ?? []) {
      for (const { shard, start, end } of tensor.data) {
        if (this.#read(shard, start, end).length !== end - start) throw failure("maquette::model::damaged", "a shard is short", "");
      }
    }
  }
  async #stage(onEvent, stage, steps) {
    const begun = performance.now();
    onEvent(JSON.stringify({ kind: "started", stage, title: stage, steps }));
    for (let step = 1; step <= steps; step += 1) {
      await wait(STEP);
      this.#check();
      onEvent(JSON.stringify({ kind: "step", stage, step, steps }));
    }
    onEvent(JSON.stringify({ kind: "finished", stage, seconds: (performance.now() - begun) / 1000, gpuBytes: 1e8 }));
  }
  async renderSplats(width, height, yaw, pitch) {
    if (!this.#splats) throw failure("maquette::fault", "no splats yet", "");
    return disc(width, height, yaw, pitch);
  }
  cancel() {
    this.#cancelled = true;
  }
  destroyDevice() {
    this.#lost = true;
  }
  memory() {
    return JSON.stringify({ heap: 1e7, gpuInUse: 0, gpuReserved: 0 });
  }
  free() {}
}

function disc(width, height, yaw) {
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i += 1) {
    const [x, y] = [(2 * (i % width)) / width - 1, (2 * Math.floor(i / width)) / height - 1];
    const inside = x * x + y * y < 0.5;
    pixels.set(inside ? [200, 120 + 80 * Math.sin(yaw + 4 * x), 80, 255] : [0, 0, 0, 0], 4 * i);
  }
  return pixels;
}

/** A disc as a PNG or a WebP that stands still; a turntable takes a while and can be stopped. */
async function drawn({ kind, show }, cancelled) {
  for (let n = 0; n < (kind === "turntable" ? 12 : 1); n += 1) {
    await wait(STEP);
    if (cancelled()) throw failure("maquette::cancelled", "stopped before the end", "");
  }
  const canvas = new OffscreenCanvas(64, 64);
  canvas.getContext("2d").putImageData(new ImageData(disc(64, 64, show === "normals" ? 1 : 0), 64), 0, 0);
  const blob = await canvas.convertToBlob({ type: kind === "turntable" ? "image/webp" : "image/png" });
  return new Uint8Array(await blob.arrayBuffer());
}

class Cutout {
  constructor(width, height, pixels, warnings) {
    Object.assign(this, { width, height, pixels, found: warnings });
  }
  rgba() {
    return this.pixels;
  }
  warnings() {
    return JSON.stringify(this.found);
  }
  withMask(mask) {
    const pixels = this.pixels.slice();
    mask.forEach((value, i) => (pixels[4 * i + 3] = value));
    return new Cutout(this.width, this.height, pixels, []);
  }
  free() {}
}

export class Generated {
  #cancelled = false;
  constructor(gaussians) {
    this.gaussians = gaussians;
  }
  async renderSplats(width, height, yaw) {
    return disc(width, height, yaw);
  }
  dump() {
    return new Map();
  }
  async picture(options) {
    this.#cancelled = false;
    return drawn(JSON.parse(options), () => this.#cancelled);
  }
  gaussianPly() {
    return new TextEncoder().encode("ply\nformat binary_little_endian 1.0\nend_header\n");
  }
  async asset(_options, onEvent) {
    this.#cancelled = false;
    for (const [stage, steps] of [["surface", 4], ["unwrap", 10], ["bake", 8]]) {
      onEvent(JSON.stringify({ kind: "started", stage, title: stage, steps }));
      for (let step = 1; step <= steps; step += 1) {
        await wait(STEP / 2);
        if (this.#cancelled) throw failure("maquette::cancelled", "stopped before the end", "");
        onEvent(JSON.stringify({ kind: "step", stage, step, steps }));
      }
      onEvent(JSON.stringify({ kind: "finished", stage, seconds: (steps * STEP) / 2000, gpuBytes: 0 }));
    }
    return new Asset();
  }
  cancel() {
    this.#cancelled = true;
  }
  free() {}
}

class Asset {
  #cancelled = false;
  triangles = 8;
  async picture(options) {
    this.#cancelled = false;
    return drawn(JSON.parse(options), () => this.#cancelled);
  }
  cancel() {
    this.#cancelled = true;
  }
  file(format) {
    if (format === "glb") return [{ name: "model.glb", bytes: octahedron() }];
    if (format === "obj") {
      const text = (words) => new TextEncoder().encode(words);
      return [{ name: "model.mtl", bytes: text("newmtl m\n") }, { name: "model.obj", bytes: text("v 0 0 0\n") }];
    }
    throw failure("maquette::output::format", format, "");
  }
  health() {
    return JSON.stringify({ vertices: 6, triangles: 8, degenerate: 0, components: 1, boundary_edges: 0, area: 1.2, warnings: ["Fewer than 100 triangles."] });
  }
  free() {}
}

/** A small GLB with normals, valid in the eyes of the Khronos validator. */
function octahedron() {
  const r = 0.45;
  const corners = [[r, 0, 0], [-r, 0, 0], [0, r, 0], [0, -r, 0], [0, 0, r], [0, 0, -r]];
  const faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]];
  const positions = new Float32Array(corners.flat());
  const normals = new Float32Array(corners.flatMap((corner) => corner.map((value) => value / r)));
  const indices = new Uint16Array(faces.flat());
  const length = positions.byteLength + normals.byteLength + indices.byteLength;
  const json = new TextEncoder().encode(
    JSON.stringify({
      asset: { version: "2.0" },
      scene: 0,
      scenes: [{ nodes: [0] }],
      nodes: [{ mesh: 0 }],
      materials: [{ pbrMetallicRoughness: { baseColorFactor: [0.75, 0.45, 0.3, 1], metallicFactor: 0 } }],
      meshes: [{ primitives: [{ attributes: { POSITION: 0, NORMAL: 1 }, indices: 2, material: 0 }] }],
      accessors: [
        { bufferView: 0, componentType: 5126, count: 6, type: "VEC3", min: [-r, -r, -r].map(Math.fround), max: [r, r, r].map(Math.fround) },
        { bufferView: 1, componentType: 5126, count: 6, type: "VEC3" },
        { bufferView: 2, componentType: 5123, count: 24, type: "SCALAR" },
      ],
      bufferViews: [
        { buffer: 0, byteOffset: 0, byteLength: 72, target: 34962 },
        { buffer: 0, byteOffset: 72, byteLength: 72, target: 34962 },
        { buffer: 0, byteOffset: 144, byteLength: 48, target: 34963 },
      ],
      buffers: [{ byteLength: length }],
    }),
  );
  const padded = Math.ceil(json.length / 4) * 4;
  const out = new Uint8Array(28 + padded + length).fill(32, 20, 20 + padded);
  const view = new DataView(out.buffer);
  [0x46546c67, 2, out.length, padded, 0x4e4f534a].forEach((word, i) => view.setUint32(4 * i, word, true));
  out.set(json, 20);
  view.setUint32(20 + padded, length, true);
  view.setUint32(24 + padded, 0x004e4942, true);
  out.set(new Uint8Array(positions.buffer), 28 + padded);
  out.set(new Uint8Array(normals.buffer), 28 + padded + 72);
  out.set(new Uint8Array(indices.buffer), 28 + padded + 144);
  return out;
}

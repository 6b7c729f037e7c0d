// Just enough of safetensors to compare numbers, and the comparison of a dump with the reference numbers.

/** Name → { shape, values } of a file's bytes. A type that is not known here is an error, not a tensor less. */
export function tensors(file) {
  const bytes = new Uint8Array(file);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const types = { F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array, I64: BigInt64Array };
  const found = new Map();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (!types[dtype]) throw new Error(`${name} is ${dtype}, which this reader does not know`);
    const [start, end] = data_offsets.map((offset) => offset + 8 + length);
    found.set(name, { shape, values: Array.from(new types[dtype](bytes.slice(start, end).buffer), Number) });
  }
  return found;
}

/** ‖a − b‖ / ‖b‖; infinite where the lengths differ. */
export function deviation(a, b) {
  if (a.length !== b.length) return Infinity;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** What of a dump has a reference number: stage file → its tensors. */
const COMPARED = {
  condition: ["cond"],
  structure: ["z_s", "coords"],
  latent: ["slat", "coords"],
  gaussians: ["gs.xyz", "gs.scaling", "gs.rotation", "gs.opacity", "gs.features_dc"],
  mesh: ["mesh.vertices"],
};

/**
 * Compares a dump with the reference numbers' file: coordinates exactly, the rest within 1e-4. `read` gives the bytes of a stage
 * file by its name. Returns the deviations as "name value"; throws at the first that is too large.
 */
export function compareDump(read, reference) {
  const expected = tensors(reference);
  return Object.entries(COMPARED).flatMap(([stage, names]) => {
    const found = tensors(read(`${stage}.safetensors`));
    return names.map((name) => {
      const [a, b] = [found.get(name), expected.get(name)];
      if (`${a?.shape}` !== `${b.shape}`) throw new Error(`${name}: shape ${a?.shape}, expected ${b.shape}`);
      const off = deviation(a.values, b.values);
      if (!(off <= (name === "coords" ? 0 : 1e-4))) throw new Error(`${name} deviates by ${off}`);
      return `${name} ${off.toExponential(1)}`;
    });
  });
}

// Reading safetensors, as far as the tests compare them: f32, f16 and i32 tensors as arrays of numbers.
export function safetensors(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets.map((offset) => offset + 8 + length);
    const data = bytes.slice(start, end).buffer;
    const types = { F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array, I64: BigInt64Array };
    if (!types[entry.dtype]) throw new Error(`${name} is ${entry.dtype}, which this reader does not know`);
    tensors.set(name, { shape: entry.shape, values: Array.from(new types[entry.dtype](data), Number) });
  }
  return tensors;
}

/** ‖a − b‖ / ‖b‖. */
export function deviation(a, b) {
  if (a.length !== b.length) return Infinity;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

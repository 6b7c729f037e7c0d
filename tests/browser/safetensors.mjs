// Just enough of safetensors to compare numbers.

/** Name → { dtype, shape, values } of a file's bytes. */
export function tensors(file) {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const found = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const data = file.subarray(8 + length + start, 8 + length + end);
    const array = { F32: Float32Array, I32: Int32Array, U8: Uint8Array }[dtype];
    if (array) found.set(name, { dtype, shape, values: new array(Uint8Array.from(data).buffer) });
  }
  return found;
}

/** ‖a − b‖ / ‖b‖. */
export function deviation(a, b) {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(difference / (norm || 1));
}

// Usage: node validate.js FOLDER
// Runs the Khronos validator over every .glb of a folder and fails on any error or warning. Compressed views are decoded
// with the reference decoder of meshoptimizer first, because the validator does not look into them: the validator gets the
// file as it is and, for compressed files, also a plain copy with the decoded data.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import validator from "gltf-validator";
import { MeshoptDecoder } from "meshoptimizer";

const MESHOPT = "EXT_meshopt_compression";
const folder = process.argv[2];
if (!folder) {
  console.error("usage: node validate.js FOLDER");
  process.exit(2);
}
await MeshoptDecoder.ready;

function chunks(glb) {
  const view = new DataView(glb.buffer, glb.byteOffset, glb.byteLength);
  const jsonLength = view.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(glb.subarray(20, 20 + jsonLength)));
  const binStart = 20 + jsonLength;
  return { json, bin: glb.subarray(binStart + 8, binStart + 8 + view.getUint32(binStart, true)) };
}

function assemble(json, bin) {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const textLength = Math.ceil(text.length / 4) * 4;
  const out = new Uint8Array(28 + textLength + bin.length).fill(32, 20, 20 + textLength);
  const view = new DataView(out.buffer);
  [0x46546c67, 2, out.length, textLength, 0x4e4f534a].forEach((w, i) => view.setUint32(4 * i, w, true));
  out.set(text, 20);
  view.setUint32(20 + textLength, bin.length, true);
  view.setUint32(24 + textLength, 0x004e4942, true);
  out.set(bin, 28 + textLength);
  return out;
}

// The same document with every compressed view replaced by its decoded bytes.
function decompressed(glb) {
  const { json, bin } = chunks(glb);
  const parts = [];
  let length = 0;
  for (const v of json.bufferViews) {
    let bytes;
    const packed = v.extensions?.[MESHOPT];
    if (packed) {
      bytes = new Uint8Array(packed.count * packed.byteStride);
      const source = bin.subarray(packed.byteOffset, packed.byteOffset + packed.byteLength);
      MeshoptDecoder.decodeGltfBuffer(bytes, packed.count, packed.byteStride, source, packed.mode, packed.filter ?? "NONE");
      delete v.extensions;
    } else {
      bytes = bin.subarray(v.byteOffset ?? 0, (v.byteOffset ?? 0) + v.byteLength);
    }
    v.buffer = 0;
    v.byteOffset = length;
    const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
    padded.set(bytes);
    parts.push(padded);
    length += padded.length;
  }
  const whole = new Uint8Array(length);
  parts.reduce((at, p) => (whole.set(p, at), at + p.length), 0);
  json.buffers = [{ byteLength: length }];
  for (const key of ["extensionsUsed", "extensionsRequired"]) {
    json[key] = (json[key] ?? []).filter((e) => e !== MESHOPT);
    if (json[key].length === 0) delete json[key];
  }
  return assemble(json, whole);
}

let bad = 0;
let files = 0;
let copies = 0;
async function check(name, bytes) {
  const report = await validator.validateBytes(bytes, { uri: name, maxIssues: 50 });
  const serious = report.issues.messages.filter((m) => m.severity <= 1);
  const expected = name.match(/\.t(\d+)\.i(\d+)\./);
  const triangles = report.info.totalTriangleCount;
  const images = report.info.resources?.filter((r) => r.pointer.startsWith("/images")).length ?? 0;
  if (expected && (triangles !== Number(expected[1]) || images !== Number(expected[2]))) {
    serious.push({ code: "COUNT", message: `${triangles} triangles, ${images} images` });
  }
  if (serious.length > 0) {
    bad += 1;
    serious.slice(0, 5).forEach((m) => console.error(`${name}: ${m.code} ${m.message} ${m.pointer ?? ""}`));
  }
}
for (const name of readdirSync(folder).filter((n) => n.endsWith(".glb")).sort()) {
  const bytes = new Uint8Array(readFileSync(join(folder, name)));
  files += 1;
  await check(name, bytes);
  if ((chunks(bytes).json.extensionsUsed ?? []).includes(MESHOPT)) {
    copies += 1;
    await check(`${name} (decoded)`, decompressed(bytes));
  }
}
console.log(`${files} files and ${copies} decoded copies validated, ${bad} with errors or warnings`);
process.exit(bad > 0 || files === 0 ? 1 : 0);

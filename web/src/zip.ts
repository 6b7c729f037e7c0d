/** A zip of files as they are (stored, not compressed): what an OBJ needs to travel with its material and texture. */
import type { ModelFile } from "maquette";

export function zip(files: ModelFile[]): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    const common = [20, 0x0800, 0, 0, 0x21]; // version 2.0, UTF-8 names, stored, 1980-01-01
    const sizes = { crc: crc32(bytes), length: bytes.length, path: path.length };
    const local = record(0x04034b50, common, sizes, 0);
    parts.push(local, path, bytes);
    directory.push(record(0x02014b50, [20, ...common], sizes, offset), path);
    offset += local.length + path.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end.buffer], { type: "application/zip" });
}

/** A file's header: the local one, or with an offset and empty extras the one of the directory. */
function record(signature: number, shorts: number[], sizes: { crc: number; length: number; path: number }, offset: number): Uint8Array<ArrayBuffer> {
  const central = signature === 0x02014b50;
  const view = new DataView(new ArrayBuffer(central ? 46 : 30));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const short of shorts) {
    view.setUint16(at, short, true);
    at += 2;
  }
  for (const value of [sizes.crc, sizes.length, sizes.length]) {
    view.setUint32(at, value, true);
    at += 4;
  }
  view.setUint16(at, sizes.path, true);
  if (central) view.setUint32(42, offset, true);
  return new Uint8Array(view.buffer);
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// What a visitor downloads, after brotli, and the budget it must keep to. Ends the build when it does not.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

const dist = resolve(dirname(fileURLToPath(import.meta.url)), "../dist");
/** Bytes of all of the page's own scripts. Grow it knowingly. */
const SCRIPT_BUDGET = 400 * 1000;

const size = (file) => brotliCompressSync(readFileSync(file), { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }).length;
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(dist.length + 1));
let scripts = 0;
for (const name of files.filter((file) => [".js", ".css", ".html"].includes(extname(file)) && !file.startsWith("engine/")).sort()) {
  const bytes = size(join(dist, name));
  if (extname(name) === ".js") scripts += bytes;
  console.log(`${String(bytes).padStart(8)}  ${name}`);
}
console.log(`page scripts: ${scripts} bytes after brotli, budget ${SCRIPT_BUDGET}`);
if (scripts > SCRIPT_BUDGET) {
  console.error("the page's scripts are over their budget");
  process.exit(1);
}

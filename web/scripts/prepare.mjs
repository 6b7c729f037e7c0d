// Puts beside the page what is built elsewhere: the bound WASM module, the small model's pack, the matting weights, licence
// texts. `npm run prepare:engine`; nothing of it is committed.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const root = resolve(web, "..");
const target = resolve(root, process.env.CARGO_TARGET_DIR || "target");
const out = join(web, "public");

/** The newest bound module, of whichever profile. */
function boundModule() {
  const folders = ["web", "browser"].map((profile) => join(target, "wasm32-unknown-unknown", profile, "maquette-web"));
  const found = folders.filter((folder) => existsSync(join(folder, "maquette_web_bg.wasm")));
  const age = (folder) => statSync(join(folder, "maquette_web_bg.wasm")).mtimeMs;
  return found.sort((a, b) => age(b) - age(a))[0];
}

function engine() {
  const folder = process.env.MAQUETTE_ENGINE || boundModule();
  if (!folder || !existsSync(join(folder, "maquette_web_bg.wasm"))) {
    throw new Error(`no bound WASM module in ${folder ?? target}: run ./test tools wasm in the root folder first`);
  }
  rmSync(join(out, "engine"), { recursive: true, force: true });
  mkdirSync(join(out, "engine"), { recursive: true });
  // The types are for readers; the page has its own.
  for (const name of readdirSync(folder)) if (/\.(js|wasm)$/.test(name)) cpSync(join(folder, name), join(out, "engine", name));
  const snippets = join(folder, "snippets");
  if (existsSync(snippets)) cpSync(snippets, join(out, "engine", "snippets"), { recursive: true });
  return folder;
}

/** The program `maquette-weights` of the folder MAQUETTE_PROGRAMS, or any that was built, or a new one. */
export function weightsTool() {
  if (process.env.MAQUETTE_PROGRAMS) return join(process.env.MAQUETTE_PROGRAMS, "maquette-weights");
  const built = () => ["release", "debug"].map((profile) => join(target, profile, "maquette-weights")).find((file) => existsSync(file));
  if (!built()) execFileSync("cargo", ["build", "--quiet", "-p", "maquette-weights-tools"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  return built();
}

/** The pack of the small trained model. */
function smallPack(where) {
  rmSync(where, { recursive: true, force: true });
  execFileSync(weightsTool(), ["pack", "models/mini", where, "--name", "mini", "--precision", "f16", "--license", "LICENSE-MIT"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
}

function licences() {
  const texts = [
    ["maquette and its model “mini”: MIT OR Apache-2.0", readFileSync(join(root, "LICENSE-MIT"), "utf8")],
    ["U²-Netp, which cuts the subject out", readFileSync(join(root, "models/u2netp.LICENSE.md"), "utf8")],
    ["three.js, the viewer: MIT", readFileSync(join(web, "node_modules/three/LICENSE"), "utf8")],
    ["Rust packages in the WASM module", crates()],
    ["Apache License 2.0", readFileSync(join(root, "LICENSE-APACHE"), "utf8")],
  ];
  const rule = "=".repeat(80);
  writeFileSync(join(out, "licenses.txt"), texts.map(([title, text]) => `${rule}\n${title}\n${rule}\n\n${text.trim()}\n`).join("\n\n"));
}

/** Name, version and licence of every package that is compiled into the module. */
function crates() {
  const options = ["tree", "--offline", "-p", "maquette-web", "--target", "wasm32-unknown-unknown", "-e", "normal", "--prefix", "none", "-f", "{p}: {l}"];
  try {
    const text = execFileSync("cargo", options, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    const lines = text.split("\n").map((line) => line.replace(/ \(.*?\)/g, "").trim());
    return [...new Set(lines.filter((line) => line.includes(": ")))].sort().join("\n");
  } catch {
    return "(`cargo tree -p maquette-web` lists them)";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(out, { recursive: true });
  const from = engine();
  smallPack(join(out, "packs/mini"));
  mkdirSync(join(out, "matting"), { recursive: true });
  cpSync(join(root, "models/u2netp.safetensors"), join(out, "matting/u2netp.safetensors"));
  licences();
  console.log(`engine from ${from}; pack, matting weights and licences beside it in ${out}`);
}

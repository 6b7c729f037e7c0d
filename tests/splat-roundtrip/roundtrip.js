// Usage: node roundtrip.js
// Writes a Gaussian PLY with our writer, sends it through splat-transform (PLY to PLY), and compares with our reader.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = import.meta.dirname;
const root = join(here, "../..");
const folder = mkdtempSync(join(tmpdir(), "splat-"));
const ours = (...words) =>
  execFileSync("cargo", ["run", "-q", "-p", "maquette-mesh", "--example", "gaussian_roundtrip", "--", ...words], {
    cwd: root,
    stdio: "inherit",
  });
try {
  const [before, after] = ["before.ply", "after.ply"].map((n) => join(folder, n));
  ours("write", before);
  execFileSync(join(here, "node_modules/.bin/splat-transform"), [before, after], { stdio: "ignore" });
  ours("compare", before, after);
} finally {
  rmSync(folder, { recursive: true });
}

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Writes the list of files that the service worker keeps into it, each with a digest; packs are kept by the page itself. */
function precache() {
  return {
    name: "precache",
    apply: "build",
    closeBundle() {
      const dist = join(here, "dist");
      const files = readdirSync(dist, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(dist.length + 1).replaceAll("\\", "/"))
        .filter((name) => name !== "sw.js" && !name.startsWith("packs/"))
        .sort();
      const list = files.map((name) => {
        const digest = createHash("sha256").update(readFileSync(join(dist, name))).digest("hex");
        return [name, digest.slice(0, 12)];
      });
      const file = join(dist, "sw.js");
      writeFileSync(file, readFileSync(file, "utf8").replace("__PRECACHE__", JSON.stringify(list)));
    },
  };
}

export default defineConfig({
  // Relative addresses: the built folder works under any path of any server.
  base: "./",
  publicDir: "public",
  resolve: { alias: { maquette: join(here, "package/src/index.ts") } },
  server: { fs: { allow: [join(here, "..")] } },
  worker: { format: "es" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: join(here, "index.html"), doctor: join(here, "doctor.html"), sw: join(here, "src/sw.ts") },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  plugins: [precache()],
});

// What both browser tests need: a server of files, Chromium with a software WebGPU adapter, and the count of checks.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { settings } from "./chromium.mjs";

export const here = dirname(fileURLToPath(import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves this folder, and `places` (path prefix → folder) beside it. What is posted is kept in `posted` by its path. */
export async function serve(places) {
  const posted = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    if (request.method === "POST") {
      const parts = [];
      for await (const part of request) parts.push(part);
      posted.set(path.slice(1), Buffer.concat(parts));
      response.writeHead(204).end();
      return;
    }
    const prefix = Object.keys(places).find((place) => path.startsWith(place));
    const file = prefix ? join(places[prefix], path.slice(prefix.length)) : join(here, path);
    try {
      const body = await readFile(file);
      response.writeHead(200, {
        "content-type": types[extname(file)] ?? "application/octet-stream",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, posted, close: () => server.close() };
}

/** Chromium with a software WebGPU adapter. */
export const launch = () => chromium.launch(settings());

/** Counts checks and prints them as Rust's test harness does. */
export class Report {
  passed = 0;
  failed = 0;

  add(name, good, detail = "") {
    console.log(`${good ? "ok    " : "FAILED"} ${name}${detail ? `: ${detail}` : ""}`);
    if (good) this.passed += 1;
    else this.failed += 1;
  }

  /** Runs a check; what it throws is its failure, what it returns its remark. */
  async check(name, work) {
    const begun = performance.now();
    try {
      const remark = await work();
      this.add(name, true, [remark, `${((performance.now() - begun) / 1000).toFixed(1)} s`].filter(Boolean).join(", "));
    } catch (error) {
      this.add(name, false, error.stack ?? String(error));
    }
  }

  /** Prints the summary; the exit status. */
  finish() {
    console.log(`test result: ${this.failed ? "FAILED" : "ok"}. ${this.passed} passed; ${this.failed} failed`);
    return this.failed ? 1 : 0;
  }
}

/** Work that may not take longer than so many seconds. */
export function within(seconds, what, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

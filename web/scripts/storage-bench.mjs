// Where to keep weights: times the private file system (OPFS) and the Cache API with shards of 64 MiB in headless Chromium.
// `node scripts/storage-bench.mjs`; the figures are in docs/browser.md.
import { launch } from "../tests/harness.mjs";
import { createServer } from "node:http";

const SHARDS = 4;
const worker = `
const MiB = 1 << 20, SIZE = 64 * MiB, N = ${SHARDS};
const shard = new Uint8Array(SIZE);
for (let at = 0; at < SIZE; at += 65536) crypto.getRandomValues(shard.subarray(at, at + 65536));
const time = async (work) => { const begun = performance.now(); await work(); return (N * 64) / ((performance.now() - begun) / 1000); };
const root = await navigator.storage.getDirectory();
const opfs = async (n) => (await root.getFileHandle("shard-" + n, { create: true })).createSyncAccessHandle();
const result = {};
result["OPFS write, 1 MiB pieces, flush"] = await time(async () => { for (let n = 0; n < N; n++) { const h = await opfs(n); for (let at = 0; at < SIZE; at += MiB) h.write(shard.subarray(at, at + MiB), { at }); h.flush(); h.close(); } });
const piece = new Uint8Array(MiB);
result["OPFS read, 1 MiB pieces, synchronous"] = await time(async () => { for (let n = 0; n < N; n++) { const h = await opfs(n); for (let at = 0; at < SIZE; at += MiB) h.read(piece, { at }); h.close(); } });
result["OPFS read whole"] = await time(async () => { for (let n = 0; n < N; n++) await (await (await root.getFileHandle("shard-" + n)).getFile()).arrayBuffer(); });
const cache = await caches.open("bench");
result["Cache put, streamed"] = await time(async () => { for (let n = 0; n < N; n++) { let at = 0; const body = new ReadableStream({ pull(c) { if (at >= SIZE) return c.close(); c.enqueue(shard.slice(at, at + MiB)); at += MiB; } }); await cache.put("/s" + n, new Response(body)); } });
result["Cache match, whole"] = await time(async () => { for (let n = 0; n < N; n++) await (await cache.match("/s" + n)).arrayBuffer(); });
result["Cache match, streamed"] = await time(async () => { for (let n = 0; n < N; n++) { const r = (await cache.match("/s" + n)).body.getReader(); while (!(await r.read()).done); } });
result["SHA-256, crypto.subtle, whole shard"] = await time(async () => { for (let n = 0; n < N; n++) await crypto.subtle.digest("SHA-256", shard); });
postMessage(result);
`;
const server = createServer((request, response) => {
  const script = request.url === "/w.js";
  response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" }).end(script ? worker : "<!doctype html>");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await launch();
const runs = [];
for (let n = 0; n < 3; n += 1) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  runs.push(await page.evaluate(() => new Promise((resolve, reject) => {
    const worker = new Worker("/w.js", { type: "module" });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  })));
  await context.close();
}
for (const name of Object.keys(runs[0])) {
  const speeds = runs.map((run) => Math.round(run[name])).sort((a, b) => a - b);
  console.log(`${name}: ${speeds[1]} MiB/s (${speeds[0]} to ${speeds[2]})`);
}
await browser.close();
server.close();

// Two small servers: one for the built page, one for packs on an origin of its own that can be told to misbehave.
import { createServer } from "node:http";
import { readFile, stat } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
};

async function listen(handler) {
  const server = createServer((request, response) => {
    handler(request, response).catch(() => response.destroyed || response.writeHead(500).end());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

/** Serves the built page; `overlay` maps first path segments to other folders, `change` may change what a path gives. */
export async function servePage(dist, overlay = {}, change = (_path, body) => body) {
  return listen(async (request, response) => {
    let path = normalize(decodeURIComponent(new URL(request.url, "http://page").pathname));
    if (path.endsWith("/")) path += "index.html";
    const replaced = overlay[path.split("/")[1]];
    const candidates = [replaced && join(replaced, path.split("/").slice(2).join("/")), join(dist, path), join(dist, `${path}.html`)];
    for (const file of candidates.filter(Boolean)) {
      const body = await readFile(file).catch(() => undefined);
      if (body === undefined) continue;
      return void response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(change(file, body));
    }
    response.writeHead(404).end();
  });
}

/**
 * Serves packs below `/<name>/` with ranges. `behave` can be changed at any time:
 * `cors` allow other origins; `slow` milliseconds between pieces of 64 KiB; `cut` ends that many responses midway; `flip` damages
 * that many shards on their way; `down` answers nothing. `log` holds every request for a shard.
 */
export async function servePacks(folders) {
  const behave = { cors: true, slow: 0, cut: 0, flip: 0, down: false };
  const log = [];
  const served = await listen(async (request, response) => {
    const [, name, file] = normalize(new URL(request.url, "http://pack").pathname).split("/");
    if (behave.down) return void request.socket.destroy();
    const headers = behave.cors ? { "access-control-allow-origin": "*", "access-control-allow-headers": "range", "access-control-expose-headers": "content-range" } : {};
    if (request.method === "OPTIONS") return void response.writeHead(204, headers).end();
    const path = folders[name] && file && join(folders[name], file);
    const size = path && (await stat(path).catch(() => undefined))?.size;
    if (size === undefined) return void response.writeHead(404, headers).end();
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (file !== "pack.json" && request.method === "GET") log.push({ file, start });
    if (start >= size) return void response.writeHead(416, headers).end();
    let body = (await readFile(path)).subarray(start);
    if (behave.flip > 0 && file !== "pack.json") {
      behave.flip -= 1;
      body = Buffer.from(body);
      body[body.length >> 1] ^= 1;
    }
    const range = start > 0 ? { "content-range": `bytes ${start}-${size - 1}/${size}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { ...headers, ...range, "content-length": body.length, "content-type": types[extname(file)] ?? "application/octet-stream" });
    if (request.method === "HEAD") return void response.end();
    const cut = behave.cut > 0 && file !== "pack.json";
    if (cut) behave.cut -= 1;
    const last = cut ? body.length >> 1 : body.length;
    const piece = behave.slow > 0 || cut ? 65536 : body.length;
    for (let at = 0; at < last && !response.destroyed; at += piece) {
      response.write(body.subarray(at, Math.min(at + piece, last)));
      if (behave.slow > 0) await new Promise((resolve) => setTimeout(resolve, behave.slow));
    }
    if (cut) setTimeout(() => request.socket.destroy(), 50);
    else response.end();
  });
  return { ...served, behave, log };
}

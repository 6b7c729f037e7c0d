/**
 * Keeps the page's own files, so that it opens without a network after the first visit. Weights are not kept here: the page
 * stores them in the private file system. `__PRECACHE__` becomes the list of files in the build.
 */
declare const __PRECACHE__: [name: string, digest: string][];

const worker = self as unknown as ServiceWorkerGlobalScope;
const CACHE = "maquette-files";
const scope = new URL(worker.registration.scope);
const files = new Map(__PRECACHE__.map(([name, digest]) => [new URL(name, scope).pathname, `${new URL(name, scope).href}?kept=${digest}`]));

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const key = event.request.method === "GET" ? keyOf(new URL(event.request.url)) : undefined;
  if (key) event.respondWith(answer(event.request, key));
});

/** Fetches what is not kept yet; unchanged files are not fetched again. */
async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  for (const [path, key] of files) {
    if (await cache.match(key)) continue;
    const response = await fetch(path, { cache: "no-cache" });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    await cache.put(key, response);
  }
  await worker.skipWaiting();
}

async function activate(): Promise<void> {
  const cache = await caches.open(CACHE);
  const keep = new Set(files.values());
  for (const request of await cache.keys()) if (!keep.has(request.url)) await cache.delete(request);
  await worker.clients.claim();
}

function keyOf(url: URL): string | undefined {
  if (url.origin !== scope.origin) return undefined;
  const path = url.pathname.endsWith("/") ? `${url.pathname}index.html` : url.pathname;
  return files.get(path) ?? files.get(`${path}.html`);
}

async function answer(request: Request, key: string): Promise<Response> {
  const kept = await (await caches.open(CACHE)).match(key);
  return kept ?? fetch(request);
}

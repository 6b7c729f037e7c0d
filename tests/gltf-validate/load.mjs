// Usage: node load.mjs FOLDER
// Loads every .glb of a folder in three.js's GLTFLoader in headless Chromium ($CHROMIUM), counts triangles and textures
// (names say how many: `.t<triangles>.i<images>.`) and takes a screenshot, which must show something.
import { createServer } from "node:http";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { inflateSync } from "node:zlib";
import { chromium } from "playwright-core";

const folder = process.argv[2];
if (!folder) {
  console.error("usage: node load.mjs FOLDER");
  process.exit(2);
}
const types = { ".html": "text/html", ".js": "text/javascript", ".glb": "model/gltf-binary" };
const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  // Chromium asks for it when it likes; an answer of 404 would count as a model's problem.
  if (path === "/favicon.ico") return response.writeHead(204).end();
  const file = path.startsWith("/files/") ? join(folder, path.slice("/files/".length)) : join(import.meta.dirname, path);
  try {
    const body = await readFile(file);
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

// WebGL without a graphics card. The rest keeps the browser from talking to the network.
const args = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args, headless: true });

// Share of a screenshot's pixels that differ from its first one. PNG rows of 8-bit RGB(A) are predicted from their neighbours.
function shown(png) {
  const [width, height, channels] = [png.readUInt32BE(16), png.readUInt32BE(20), png[25] === 6 ? 4 : 3];
  const parts = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const raw = inflateSync(Buffer.concat(parts));
  const stride = width * channels;
  const pixels = Buffer.alloc(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const a = x >= channels ? pixels[y * stride + x - channels] : 0;
      const b = y > 0 ? pixels[(y - 1) * stride + x] : 0;
      const c = x >= channels && y > 0 ? pixels[(y - 1) * stride + x - channels] : 0;
      const p = a + b - c;
      const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
      const paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      pixels[y * stride + x] = raw[y * (stride + 1) + 1 + x] + [0, a, b, (a + b) >> 1, paeth][filter];
    }
  }
  let different = 0;
  for (let i = 0; i < pixels.length; i += channels) {
    if (Math.abs(pixels[i] - pixels[0]) + Math.abs(pixels[i + 1] - pixels[1]) + Math.abs(pixels[i + 2] - pixels[2]) > 24) different += 1;
  }
  return different / (width * height);
}

let bad = 0;
const names = readdirSync(folder).filter((n) => n.endsWith(".glb")).sort();
try {
  const page = await browser.newPage({ viewport: { width: 160, height: 160 } });
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  await page.goto(`${origin}/viewer.html`);
  await page.waitForFunction(() => window.ready, undefined, { timeout: 60_000 });
  for (const name of names) {
    said.length = 0;
    const problems = [];
    try {
      const found = await page.evaluate((url) => window.show(url), `${origin}/files/${encodeURIComponent(name)}`);
      const expected = name.match(/\.t(\d+)\.i(\d+)\./);
      if (expected && (found.triangles !== Number(expected[1]) || found.textures !== Number(expected[2]))) {
        problems.push(`${found.triangles} triangles, ${found.textures} textures`);
      }
      const share = shown(await page.locator("#view").screenshot());
      if (share < 0.02) problems.push(`a blank screenshot (${(100 * share).toFixed(2)} % differs from the background)`);
    } catch (error) {
      problems.push(error.message);
    }
    // The software rasteriser warns of slow read-back; that is the screenshot.
    problems.push(...said.filter((text) => !/GPU stall|Automatic fallback to software/.test(text)));
    if (problems.length > 0) {
      bad += 1;
      console.error(`${name}: ${problems.join("; ")}`);
    }
  }
} finally {
  await browser.close();
  server.close();
}
console.log(`${names.length} files loaded in three.js, ${bad} with problems`);
process.exit(bad > 0 || names.length === 0 ? 1 : 0);

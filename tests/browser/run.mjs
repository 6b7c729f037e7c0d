// Runs the browser checks: `node run.mjs <folder of the bound module>`. Chromium comes from $CHROMIUM.
//
// Ends with "test result: ok. N passed; M failed", as Rust's test harness does, and fails when a check did.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const [module] = process.argv.slice(2);
if (!module) {
  console.error("usage: node run.mjs <folder of the bound module>");
  process.exit(2);
}
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";

// WebGPU without a graphics card: Chromium's own software adapter. The rest keeps the browser from talking to the network.
const args = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  const file = path.startsWith("/module/") ? join(module, path.slice("/module/".length)) : join(here, path);
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

const browser = await chromium.launch({ executablePath, args, headless: true });
let passed = 0;
let failed = 0;
try {
  const page = await browser.newPage();
  const console_lines = [];
  page.on("console", (message) => console_lines.push(`${message.type()}: ${message.text()}`));
  // A panic aborts the module and its promise never settles: the page's error ends the wait.
  const crash = new Promise((_, reject) => page.on("pageerror", reject));
  crash.catch(() => {});
  const timeout = new Promise((_, reject) => setTimeout(() => reject(new Error("no answer in 10 minutes")), 600_000).unref());
  await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
  try {
    const loaded = page.waitForFunction(() => window.report !== undefined);
    await Promise.race([loaded, crash, timeout]);
    const report = await Promise.race([page.evaluate(() => window.report), crash, timeout]);
    console.log(report.doctor);
    for (const { name, passed: good, detail } of report.checks) {
      console.log(`${good ? "ok    " : "FAILED"} ${name}${detail ? `: ${detail}` : ""}`);
      if (good) passed += 1;
      else failed += 1;
    }
    if (report.checks.length === 0) throw new Error("the module ran no checks");
  } catch (error) {
    console.log(`FAILED the page: ${error.message}`);
    failed += 1;
  }
  if (failed) console.log(console_lines.slice(-40).join("\n"));
} finally {
  await browser.close();
  server.close();
}
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed`);
process.exit(failed ? 1 : 0);

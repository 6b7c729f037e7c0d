// The commands of the README: `npm run dev` and `npm run preview` (over what `npm run build` made) serve a page that works.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { holds, launch, web } from "./harness.mjs";

/** Compiling the module may take its time on a busy machine. */
const LONG = 200_000;

export async function commandTests(suite) {
  const browser = await launch();
  for (const command of ["preview", "dev"]) {
    let server;
    await suite.test(`\`npm run ${command}\` starts a server`, async () => (server = await start(command)));
    if (!server) continue;
    await suite.visit(`\`npm run ${command}\` serves the page, its engine and the doctor`, browser, server.origin, {}, async (visitor, page) => {
      await page.locator("#weights-short", { hasText: "mini" }).waitFor({ timeout: LONG });
      await visitor.sample("house", LONG);
      await page.goto(`${server.origin}/doctor`);
      await page.locator(".verdict.good, .verdict.bad").waitFor({ timeout: LONG });
      holds((await page.locator(".verdict.good").count()) === 1, await page.locator("#verdict").innerText());
    });
    process.kill(-server.group);
  }
  await browser.close();
}

/** Runs one of the package's scripts until its server answers. */
async function start(command) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  // A group of its own, because npm does not hand signals on.
  const child = spawn("npm", ["run", command, "--", "--host", "127.0.0.1", "--port", String(port), "--strictPort"], { cwd: web, detached: true, stdio: ["ignore", "ignore", "inherit"] });
  for (let n = 0; n < 300; n += 1) {
    const there = await fetch(origin).then(({ ok }) => ok, () => false);
    if (there) return { origin, group: child.pid };
    if (child.exitCode !== null) throw new Error(`npm run ${command} ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  process.kill(-child.pid);
  throw new Error(`npm run ${command}: no answer`);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Runs the browser checks: `node run.mjs <folder of the bound module>`. Chromium comes from $CHROMIUM.
//
// Ends with "test result: ok. N passed; M failed", as Rust's test harness does, and fails when a check did.
import { join } from "node:path";
import { Report, here, launch, serve, within } from "./harness.mjs";

const [module] = process.argv.slice(2);
if (!module) {
  console.error("usage: node run.mjs <folder of the bound module>");
  process.exit(2);
}
const server = await serve({ "/module/": module, "/adapter/": join(here, "../../crates/maquette-web/js") });
const browser = await launch();
const report = new Report();
try {
  const page = await browser.newPage();
  const console_lines = [];
  page.on("console", (message) => console_lines.push(`${message.type()}: ${message.text()}`));
  // A panic aborts the module and its promise never settles: the page's error ends the wait.
  const crash = new Promise((_, reject) => page.on("pageerror", reject));
  crash.catch(() => {});
  await page.goto(`http://127.0.0.1:${server.port}/page.html`);
  try {
    const answer = page.waitForFunction(() => window.report !== undefined).then(() => page.evaluate(() => window.report));
    const { doctor, checks } = await Promise.race([within(600, "the page", answer), crash]);
    console.log(doctor);
    for (const { name, passed, detail } of checks) report.add(name, passed, detail);
    if (checks.length === 0) throw new Error("the module ran no checks");
  } catch (error) {
    report.add("the page", false, error.message);
  }
  if (report.failed) console.log(console_lines.slice(-40).join("\n"));
} finally {
  await browser.close();
  server.close();
}
process.exit(report.finish());

// How every check starts Chromium. Playwright itself comes from the folder of whoever starts it.
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";

/** No talk with the network but the checks' own. */
const quiet = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** WebGPU without a graphics card: Chromium's own software adapter. */
const software = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
/** Names that are no machine's own are no secure origins. */
const names = ["--host-resolver-rules=MAP *.test 127.0.0.1"];

/** What Playwright launches it with; `more` are further arguments. */
export function settings(more = []) {
  return { executablePath, headless: true, args: [...quiet, ...software, ...names, ...more] };
}

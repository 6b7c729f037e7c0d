/** The doctor page: what this browser offers, what the engine finds, and what would help. */
import { browserFacts, type BrowserFacts, explain, type Facts, Maquette } from "maquette";
import { byId, bytes, count, el } from "./dom";
import { setUpOffline } from "./offline";
import { engineUrl } from "./places";
import { setUpTheme } from "./theme";

setUpTheme();
setUpOffline();
const report: string[] = [];
void examine();

byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(report.join("\n"));
  byId("copied").textContent = "Copied.";
});

async function examine(): Promise<void> {
  const browser = await browserFacts();
  list("browser-facts", browserRows(browser));
  if (browser.obstacle) {
    verdict(false, browser.obstacle.title, browser.obstacle.text);
    list("engine-facts", [["Not asked", "without WebGPU there is nothing to ask"]]);
    return;
  }
  try {
    const facts = await Maquette.facts(engineUrl);
    list("engine-facts", engineRows(facts));
    advise(facts.advice);
    if (facts.webgpu) verdict(true, "This browser can run it", facts.adapter?.software ? "On a software rasterizer, though: correct, but many times slower than a graphics card." : "");
    else verdict(false, "This browser cannot run it", facts.reason ?? "");
  } catch (error) {
    const { title, text } = explain(error);
    verdict(false, title, text);
  }
}

function verdict(good: boolean, title: string, text: string): void {
  const box = byId("verdict");
  box.className = good ? "verdict good" : "verdict bad";
  box.replaceChildren(el("div", {}, el("strong", {}, title), text));
  report.unshift(`${title}. ${text}`);
}

function advise(advice: string[]): void {
  byId("advice-box").hidden = advice.length === 0;
  byId("advice").replaceChildren(...advice.map((text) => el("li", {}, text)));
  report.push(...advice.map((text) => `advice: ${text}`));
}

function list(id: string, rows: [string, string][]): void {
  byId(id).replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  report.push(...rows.map(([name, value]) => `${name}: ${value}`));
}

const yes = (value: boolean) => (value ? "yes" : "no");

function browserRows(facts: BrowserFacts): [string, string][] {
  const rows: [string, string][] = [
    ["Browser", navigator.userAgent],
    ["Secure address", yes(facts.secure)],
    ["WebGPU", facts.webgpu ? (facts.adapter ? "yes" : "yes, but no adapter") : "no"],
    ["Private file system", facts.privateFiles ? "yes" : "no: weights are kept in memory until the window closes"],
    ["Kept from clearing", yes(facts.persisted)],
  ];
  if (facts.quota !== undefined) rows.push(["Room for this site", `${bytes(facts.quota)}, ${bytes(facts.usage ?? 0)} in use`]);
  const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };
  if (deviceMemory !== undefined) rows.push(["Memory (rounded by the browser)", `${deviceMemory} GB or more`]);
  return rows;
}

const limitWords: Record<string, string> = {
  storageBinding: "Largest binding",
  buffer: "Largest buffer",
  workgroupMemory: "Workgroup memory",
  invocations: "Workgroup invocations",
  storageBuffers: "Storage buffers a stage",
  groups: "Groups a dimension",
};

function engineRows(facts: Facts): [string, string][] {
  const rows: [string, string][] = [];
  const { adapter, features, trial } = facts;
  if (facts.reason) rows.push(["Why not", facts.reason]);
  if (adapter) {
    const name = adapter.description || adapter.device || [adapter.vendor, adapter.architecture].filter(Boolean).join(" ");
    rows.push(["Adapter", name || "not named by this browser"]);
    if (adapter.vendor) rows.push(["Vendor", [adapter.vendor, adapter.architecture].filter(Boolean).join(", ")]);
    rows.push(["Software rasterizer", yes(adapter.software)]);
  }
  if (facts.tier) rows.push(["Graphics API", "WebGPU"], ["Tier", facts.tier]);
  if (features) rows.push(["16-bit floats", yes(features.f16)], ["Subgroups", yes(features.subgroups)], ["Matrix shapes", "none: browsers offer none"], ["Timestamps", yes(features.timestamps)]);
  if (facts.precision) rows.push(["Precision", facts.precision]);
  for (const [name, words] of Object.entries(limitWords)) {
    const value = facts.limits?.[name];
    if (value === undefined) continue;
    const size = /binding|buffer$|memory/i.test(name);
    rows.push([words, size ? `${count(value / 1024 >= 1024 ? value / 1024 / 1024 : value / 1024)} ${value / 1024 >= 1024 ? "MiB" : "KiB"}` : count(value)]);
  }
  if (trial) rows.push(["Trial", `opened in ${Math.round(trial.open)} ms, first work ${Math.round(trial.first)} ms, then ${trial.warm.toFixed(1)} ms`]);
  return rows;
}

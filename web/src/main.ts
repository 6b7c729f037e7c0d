/** The page: from a picture to a model, one view at a time. */
import { browserFacts, type Cutout, DEVICE_LOST, isCancelled, Maquette, MaquetteError, type Model } from "maquette";
import { setUpCamera } from "./camera";
import { CutoutEditor } from "./cutout-editor";
import { byId, context, say } from "./dom";
import { showHistory } from "./history";
import { setUpIntake } from "./intake";
import { clearNotices, fail, notice, toDoctor } from "./notices";
import { setUpOffline } from "./offline";
import { engineChoice, engineUrl, mattingUrl, packUrl } from "./places";
import { ResultView } from "./result-view";
import { keepResult, type ResultFiles, resultFiles, type ResultSummary } from "./results-store";
import { RunView } from "./run-view";
import { chosenSettings, setUpSettings } from "./settings";
import { setUpTheme } from "./theme";
import { WeightsPanel } from "./weights-panel";
import { zip } from "./zip";

type State = "empty" | "wait" | "cutout" | "run" | "result";

const maquette = Maquette.open({ pack: packUrl(), engine: engineUrl, matting: mattingUrl, offline: rememberedOffline(), ...engineChoice(), onLost: lost });
const editor = new CutoutEditor();
const runView = new RunView();
const resultView = new ResultView();
const weights = new WeightsPanel(maquette.pack, warm);
const makeButton = byId<HTMLButtonElement>("make");

let picture: { blob: Blob; name: string } | undefined;
let cutout: Cutout | undefined;
let model: Model | undefined;
let working: AbortController | undefined;
let canRun = true;

setUpTheme();
setUpIntake((blob, name) => void take(blob, name));
setUpCamera((blob, name) => void take(blob, name));
setUpSettings(() => void make());
setUpOffline();
editor.onchange = () => editor.draw(byId<HTMLCanvasElement>("thumb"));
byId("cancel").addEventListener("click", () => working?.abort());
byId("wait-cancel").addEventListener("click", () => working?.abort());
byId("new-picture").addEventListener("click", () => show("empty"));
byId("edit-cutout").addEventListener("click", () => show("cutout"));
byId("whole").addEventListener("click", () => {
  const whole = byId("whole").getAttribute("aria-pressed") !== "true";
  if (picture) void cut(whole ? { keepBackground: true } : {});
});
addEventListener("beforeunload", (event) => {
  if (document.body.dataset.state === "run") event.preventDefault();
});
void showHistory((result) => void openResult(result));
void look();

/** Finds out, after the first paint, whether anything can run here, and what weights there are. */
async function look(): Promise<void> {
  const { obstacle } = await browserFacts();
  if (obstacle) {
    canRun = false;
    notice({ title: obstacle.title, text: obstacle.text, code: obstacle.code, actions: [toDoctor] });
  }
  if (obstacle?.code === "insecure") weights.unavailable();
  else await weights.refresh();
}

function show(state: State): void {
  document.body.dataset.state = state;
  for (const view of ["empty", "wait", "cutout", "run", "result"]) byId(`view-${view}`).hidden = view !== state;
  const running = state === "run";
  makeButton.hidden = running;
  makeButton.textContent = state === "result" ? "Make it again" : "Make the 3D model";
  makeButton.classList.toggle("primary", state !== "result");
  makeButton.disabled = !(cutout && canRun && (state === "cutout" || state === "result"));
  byId("picture-card").hidden = !cutout || state === "empty" || state === "wait";
  byId("edit-cutout").hidden = state !== "result" || !cutout;
  byId("new-picture").hidden = running;
  byId("result-card").hidden = state !== "result";
  for (const input of byId("settings").querySelectorAll<HTMLInputElement>("input, select, #dice")) input.disabled = running;
}

/** A picture came: cut its subject out. */
async function take(blob: Blob, name: string): Promise<void> {
  if (document.body.dataset.state === "run") return;
  picture = { blob, name };
  await cut({});
}

async function cut(options: { keepBackground?: boolean; force?: boolean }): Promise<void> {
  if (!picture || !canRun) return;
  const { blob, name } = picture;
  working?.abort();
  const mine = new AbortController();
  working = mine;
  clearNotices();
  byId("wait-text").textContent = "Cutting out the subject…";
  show("wait");
  try {
    const made = await cutOut(blob, options, mine.signal);
    if (working !== mine) return;
    cutout = made;
    editor.show(made);
    byId("picture-name").textContent = name;
    byId("whole").setAttribute("aria-pressed", String(options.keepBackground ?? false));
    show("cutout");
    say("The subject is cut out. Correct it with the brush, or make the model.");
  } catch (error) {
    if (working !== mine) return;
    show(cutout ? "cutout" : "empty");
    if (isCancelled(error)) return;
    const code = error instanceof MaquetteError ? error.code : "";
    const anyway = { text: "Go on anyway", run: () => void cut({ ...options, force: true }) };
    const whole = { text: "Use the whole picture", run: () => void cut({ keepBackground: true }) };
    const again = { text: "Try again", run: () => void cut(options) };
    if (code === "maquette::picture::mask") fail(error, [anyway, whole]);
    else if (code === "maquette::picture::no_subject") fail(error, [whole]);
    else if (code.startsWith("maquette::picture")) fail(error);
    else fail(error, [again, toDoctor]);
  } finally {
    if (working === mine) working = undefined;
  }
}

/** Cuts out; a format that the engine does not read (HEIC, AVIF) is decoded by the browser, if it can. */
async function cutOut(blob: Blob, options: { keepBackground?: boolean; force?: boolean }, signal: AbortSignal): Promise<Cutout> {
  try {
    return await maquette.cutOut(blob, { ...options, signal });
  } catch (error) {
    if (!(error instanceof MaquetteError) || error.code !== "maquette::picture::format") throw error;
    const decoded = await asPng(blob);
    if (!decoded) throw error;
    return maquette.cutOut(decoded, { ...options, signal });
  }
}

async function asPng(blob: Blob): Promise<Blob | undefined> {
  try {
    const bitmap = await createImageBitmap(blob);
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    context(canvas).drawImage(bitmap, 0, 0);
    return await new Promise((resolve) => canvas.toBlob((png) => resolve(png ?? undefined), "image/png"));
  } catch {
    return undefined;
  }
}

async function make(): Promise<void> {
  if (!cutout || !picture || working) return;
  const mine = new AbortController();
  working = mine;
  clearNotices();
  editor.draw(byId<HTMLCanvasElement>("preview"));
  runView.start(weights.complete);
  show("run");
  say("Making your model.");
  byId("cancel").focus();
  try {
    const mask = editor.mask;
    const subject = mask ? await cutout.withMask(mask) : cutout;
    resultView.leave();
    model?.release();
    model = undefined;
    let splats: Promise<void> | undefined;
    const made = await maquette.generate(subject, {
      ...chosenSettings(),
      signal: mine.signal,
      onProgress: (progress) => {
        runView.progress(progress);
        if (progress.kind === "started" && progress.stage === "mesh") {
          // The last network is loaded: no more weights will come.
          runView.weightsDone();
          void weights.refresh();
        }
        // A preview that fails is no reason to lose the model.
        if (progress.kind === "gaussians") splats = runView.showSplats((view) => maquette.splats(view)).catch(() => {});
      },
    });
    await splats;
    model = made;
    await finish(made, runView.stop());
  } catch (error) {
    show("cutout");
    makeButton.focus();
    if (isCancelled(error)) say("Stopped. What was fetched is kept.");
    else if (!(error instanceof MaquetteError && error.code === DEVICE_LOST)) fail(error, [{ text: "Try again", run: () => void make() }, toDoctor]);
  } finally {
    runView.stop();
    if (working === mine) working = undefined;
    void weights.refresh();
  }
}

/** Gathers the files of a finished model, shows it and keeps it. */
async function finish(made: Model, time: number): Promise<void> {
  const single = async (format: "glb" | "ply", type: string) => new Blob((await made.files(format)).map(({ bytes }) => bytes), { type });
  const files: ResultFiles = {
    glb: await single("glb", "model/gltf-binary"),
    ply: await single("ply", "application/octet-stream"),
    obj: zip(await made.files("obj")),
  };
  const { triangles, gaussians, health } = made;
  const summary = { name: picture?.name ?? "Model", made: Date.now(), seconds: time, triangles, gaussians, health };
  show("result");
  await resultView.show(summary, files, made);
  say("Your model is ready.");
  byId("result-title").scrollIntoView({ block: "nearest" });
  const thumbnail = await resultView.thumbnail(296);
  try {
    await keepResult({ ...summary, id: summary.made, ...(thumbnail ? { thumbnail } : {}) }, files);
  } catch (error) {
    notice({ title: "This model could not be kept", text: `The browser did not store it (${error instanceof Error ? error.message : error}). Download it before you close the page.`, plain: true });
  }
  await showHistory((result) => void openResult(result));
}

async function openResult(result: ResultSummary): Promise<void> {
  if (document.body.dataset.state === "run") return;
  const files = await resultFiles(result.id);
  if (!files) return;
  clearNotices();
  show("result");
  await resultView.show(result, files, undefined);
  byId("work").scrollIntoView({ block: "start" });
}

/** Compiles pipelines while weights come. What keeps it from that is told by the run that needs them. */
function warm(): void {
  if (canRun) void maquette.warm().catch(() => {});
}

/** The engine's device or module is gone; the next call starts it anew. */
function lost(error: MaquetteError): void {
  model = undefined;
  resultView.leave();
  const gone = error.code === DEVICE_LOST;
  const running = document.body.dataset.state === "run" || document.body.dataset.state === "wait";
  notice({
    title: gone ? "The graphics device went away" : "The engine stopped",
    text: `${gone ? "The driver was reset, the device slept, or the browser took it away." : error.message} Nothing that was finished is lost, and the engine starts anew by itself.`,
    code: error.code,
    actions: running && cutout ? [{ text: "Run again", run: () => void make() }, toDoctor] : [toDoctor],
  });
}

function rememberedOffline(): boolean {
  try {
    return localStorage.getItem("offline") === "true";
  } catch {
    return false;
  }
}

// For tests of the page: what cannot be done from outside, such as losing the device.
Object.assign(window, { maquette });

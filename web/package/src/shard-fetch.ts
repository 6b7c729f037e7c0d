/** Fetching one file with resume, patience, and words for what can go wrong between a page and a server. */
import { cancelled, MaquetteError } from "./failure";

/** Failed tries without a single new byte before we give up. */
const TRIES = 5;
const FIRST_WAIT = 400;
const LONGEST_WAIT = 30_000;

export interface Sink {
  /** Bytes that are already here. */
  have: number;
  /** Bytes of the whole file. */
  want: number;
  /** Starts over: what was here is dropped. */
  restart(): Promise<void>;
  write(bytes: Uint8Array<ArrayBuffer>): void;
}

/** Fetches what `sink` lacks of the file at `url`. Broken transfers go on where they broke. */
export async function fetchInto(url: string, sink: Sink, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (sink.have < sink.want) {
    const before = sink.have;
    try {
      await once(url, sink, signal);
    } catch (error) {
      if (signal.aborted) throw cancelled();
      if (error instanceof MaquetteError && !(error instanceof Patience)) throw error;
      failures = sink.have > before ? 1 : failures + 1;
      if (failures >= TRIES) throw await reason(url, error, signal);
      const asked = error instanceof Patience ? error.milliseconds : 0;
      await sleep(Math.min(Math.max(asked, FIRST_WAIT * 2 ** (failures - 1)), LONGEST_WAIT), signal);
    }
  }
}

/** The server asked to wait. */
class Patience extends MaquetteError {
  constructor(
    readonly milliseconds: number,
    status: number,
  ) {
    super("maquette::pack::http", `The server of the weights is busy (${status}).`, "Try again in a few minutes.");
  }
}

async function once(url: string, sink: Sink, signal: AbortSignal): Promise<void> {
  // `no-store`: the file is kept by us; a second copy in the HTTP cache would be waste.
  const headers: HeadersInit = sink.have > 0 ? { range: `bytes=${sink.have}-` } : {};
  const response = await fetch(url, { headers, signal, cache: "no-store" });
  if (response.status === 429 || response.status === 503) {
    throw new Patience(1000 * (Number(response.headers.get("retry-after")) || 0), response.status);
  }
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  const wrongPlace = response.status === 206 && start !== undefined && Number(start) !== sink.have;
  if (response.status === 416 || wrongPlace) {
    await response.body?.cancel();
    if (sink.have === 0) throw httpError(url, response);
    await sink.restart();
    return;
  }
  if (!response.ok) throw httpError(url, response);
  // A server without ranges sends the whole file.
  if (response.status === 200 && sink.have > 0) await sink.restart();
  const reader = response.body?.getReader();
  if (!reader) throw httpError(url, response);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (sink.have + value.length > sink.want) {
      await reader.cancel();
      throw new MaquetteError("maquette::pack::digest", `${name(url)} is longer than its pack says.`, "The server's files do not belong together; tell whoever keeps them.");
    }
    sink.write(value as Uint8Array<ArrayBuffer>);
    sink.have += value.length;
  }
  if (sink.have < sink.want) throw new TypeError("the connection ended early");
}

/** The text at `url`, or an error in words. */
export async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  try {
    const response = await fetch(url, { cache: "no-cache", ...(signal ? { signal } : {}) });
    if (!response.ok) throw httpError(url, response);
    return await response.text();
  } catch (error) {
    if (signal?.aborted) throw cancelled();
    throw error instanceof MaquetteError ? error : await reason(url, error, signal);
  }
}

function httpError(url: string, response: Response): MaquetteError {
  const help: Record<number, string> = {
    401: "The server wants a login, which this page does not do; use a public address.",
    403: "The server refuses; use a public address.",
    404: "Check the address after “?pack=”.",
  };
  return new MaquetteError("maquette::pack::http", `${name(url)}: the server answered ${response.status} ${response.statusText}`.trim() + ".", help[response.status] ?? "Try again later.");
}

/** What lies behind a failed request. `fetch` says only "failed"; these are the questions that tell causes apart. */
async function reason(url: string, error: unknown, signal?: AbortSignal): Promise<MaquetteError> {
  const target = new URL(url, location.href);
  const own = target.origin === location.origin;
  const message = error instanceof Error ? error.message : String(error);
  if (location.protocol === "https:" && target.protocol === "http:" && !isLocal(target)) {
    return new MaquetteError("maquette::pack::mixed", `This page came over https, so the browser blocks ${target.origin}, which is plain http.`, "Serve the pack over https, or open the page itself over http on localhost.");
  }
  if (!navigator.onLine && !isLocal(target)) {
    return new MaquetteError("maquette::pack::network", "This device is offline.", "Connect, and the download goes on where it stopped.");
  }
  if (!own && (await answersWithoutCors(target, signal))) {
    return new MaquetteError("maquette::pack::cors", `${target.origin} answers, but without the header “Access-Control-Allow-Origin”, so the browser keeps its answer from this page.`, "Whoever keeps that server has to allow other origins (CORS), or the pack has to be served from this page's own address.");
  }
  if (error instanceof Patience) return error;
  return new MaquetteError("maquette::pack::network", `${target.host} does not answer (${message}).`, "What has come so far is kept; try again, and the download goes on where it stopped.");
}

async function answersWithoutCors(target: URL, signal?: AbortSignal): Promise<boolean> {
  try {
    await fetch(target, { mode: "no-cors", method: "HEAD", cache: "no-store", ...(signal ? { signal } : {}) });
    return true;
  } catch {
    return false;
  }
}

function isLocal(url: URL): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
}

function name(url: string): string {
  return new URL(url, location.href).pathname.split("/").pop() || url;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(cancelled())), { once: true });
  });
}

/** The bytes at `url`, which is expected to be small enough for memory. */
export async function fetchBytes(url: string): Promise<Uint8Array> {
  try {
    const response = await fetch(url);
    if (!response.ok) throw httpError(url, response);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw error instanceof MaquetteError ? error : await reason(url, error);
  }
}

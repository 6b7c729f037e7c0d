/** A failure in three parts: a code for programs, what happened, and what to do. Codes are those of `docs/errors.md`. */
export class MaquetteError extends Error {
  readonly code: string;
  readonly help: string;

  constructor(code: string, message: string, help = "") {
    super(message);
    this.name = "MaquetteError";
    this.code = code;
    this.help = help;
  }
}

/** A failure as it travels between workers. */
export interface PlainFailure {
  code: string;
  message: string;
  help: string;
}

/** The code of work that was stopped on request. */
export const CANCELLED = "maquette::cancelled";
/** The code of a lost graphics device. */
export const DEVICE_LOST = "maquette::gpu::lost";
/** The code of a bug: the module that failed so must not be used again. */
export const FAULT = "maquette::fault";

/** Whether the work was stopped on request, which is no fault. */
export function isCancelled(error: unknown): boolean {
  return (
    (error instanceof MaquetteError && error.code === CANCELLED) ||
    (error instanceof DOMException && error.name === "AbortError")
  );
}

export function cancelled(): MaquetteError {
  return new MaquetteError(CANCELLED, "Stopped.", "Start again when you like.");
}

/** Makes any thrown value a plain failure. */
export function plain(error: unknown): PlainFailure {
  if (error instanceof MaquetteError) return { code: error.code, message: error.message, help: error.help };
  if (isCancelled(error)) return plain(cancelled());
  if (error instanceof WebAssembly.RuntimeError) {
    return plain(
      new MaquetteError(FAULT, `The engine stopped unexpectedly (${error.message}).`, "It is started anew; try again."),
    );
  }
  if (error instanceof Error) {
    const { code, help } = error as Error & { code?: unknown; help?: unknown };
    return {
      code: typeof code === "string" ? code : FAULT,
      message: error.message || error.name,
      help: typeof help === "string" ? help : "",
    };
  }
  return { code: FAULT, message: String(error), help: "" };
}

export function fromPlain(failure: PlainFailure): MaquetteError {
  return new MaquetteError(failure.code, failure.message, failure.help);
}

/** A failure as title and sentences for people. */
export function explain(error: unknown): { title: string; text: string; code: string } {
  const { code, message, help } = plain(error);
  return { title: titles[code] ?? "That did not work", text: help ? `${message} ${help}` : message, code };
}

const titles: Record<string, string> = {
  [CANCELLED]: "Stopped",
  [DEVICE_LOST]: "The graphics device went away",
  [FAULT]: "The engine stopped",
  "maquette::gpu::memory": "Not enough graphics memory",
  "maquette::gpu::no_adapter": "No graphics adapter answers",
  "maquette::picture::format": "That file is no picture we can read",
  "maquette::picture::damaged": "That picture is damaged",
  "maquette::picture::truncated": "That picture stops before its end",
  "maquette::picture::too_large": "That picture is too large",
  "maquette::picture::no_subject": "There is no subject in that picture",
  "maquette::picture::mask": "The cut-out may give a poor model",
  "maquette::pack::network": "The weights could not be fetched",
  "maquette::pack::cors": "The weights' server does not let this page read them",
  "maquette::pack::mixed": "The browser blocks weights from an insecure address",
  "maquette::pack::http": "The weights' server answered with an error",
  "maquette::pack::digest": "The weights came damaged",
  "maquette::pack::format": "That is no model pack",
  "maquette::pack::offline": "The weights are not on this device",
  "maquette::pack::full": "There is no room for the weights",
  "maquette::pack::busy": "Another tab is using the weights",
};

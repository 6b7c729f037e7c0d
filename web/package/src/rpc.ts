/**
 * Calls across a worker's border: a request has a number, its answer carries the same. Notices go either way without an answer.
 * Both sides may call; `Channel` is one end.
 */
import { fromPlain, MaquetteError, plain, type PlainFailure } from "./failure";

/** Where messages go: a worker, a worker's own global, or a port. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

type Message =
  | { type: "call"; id: number; method: string; args: unknown[] }
  | { type: "answer"; id: number; value: unknown }
  | { type: "failure"; id: number; failure: PlainFailure }
  | { type: "notice"; name: string; value: unknown };

/** A value together with the buffers that move with it. */
export class Moved<T> {
  constructor(
    readonly value: T,
    readonly buffers: Transferable[],
  ) {}
}

export type Handlers = Record<string, (...args: never[]) => unknown>;

export class Channel {
  readonly #endpoint: Endpoint;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: MaquetteError) => void }>();
  #next = 1;
  #closed: MaquetteError | undefined;
  /** Called for notices of the other side. */
  onnotice: (name: string, value: unknown) => void = () => {};

  constructor(endpoint: Endpoint, handlers: Handlers = {}) {
    this.#endpoint = endpoint;
    endpoint.addEventListener("message", (event) => void this.#receive(event.data as Message, handlers));
  }

  /** Calls a method of the other side. */
  call<T>(method: string, args: unknown[] = [], transfer: Transferable[] = []): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#endpoint.postMessage({ type: "call", id, method, args } satisfies Message, transfer);
    });
  }

  notify(name: string, value: unknown, transfer: Transferable[] = []): void {
    if (!this.#closed) this.#endpoint.postMessage({ type: "notice", name, value } satisfies Message, transfer);
  }

  /** Ends every waiting call with `reason`; later calls fail likewise. */
  close(reason: MaquetteError): void {
    this.#closed = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  async #receive(message: Message, handlers: Handlers): Promise<void> {
    switch (message.type) {
      case "notice":
        this.onnotice(message.name, message.value);
        break;
      case "answer":
      case "failure": {
        const call = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.type === "answer") call?.resolve(message.value);
        else call?.reject(fromPlain(message.failure));
        break;
      }
      case "call": {
        try {
          const handler = handlers[message.method];
          if (!handler) throw new Error(`there is no method ${message.method}`);
          const result = await handler(...(message.args as never[]));
          const [value, buffers] = result instanceof Moved ? [result.value, result.buffers] : [result, []];
          this.#endpoint.postMessage({ type: "answer", id: message.id, value } satisfies Message, buffers);
        } catch (error) {
          this.#endpoint.postMessage({ type: "failure", id: message.id, failure: plain(error) } satisfies Message, []);
        }
        break;
      }
    }
  }
}

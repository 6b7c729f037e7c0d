/**
 * What the WASM module `maquette-web` offers, as JavaScript sees it. The text of truth is the README of
 * `crates/maquette-web`; these are the parts that the worker calls.
 */

/** The module's default export and names. */
export interface EngineModule {
  default(options: { module_or_path: string | URL }): Promise<unknown>;
  facts(): Promise<string>;
  Engine: { open(options: string): Promise<Engine> };
}

/** Reads bytes `start..end` of a shard, at once: it is called from inside a running computation. */
export type ReadShard = (shard: number, start: number, end: number) => Uint8Array;

export interface Engine {
  facts(): string;
  setModel(packJson: string, read: ReadShard): void;
  setMatting(bytes: Uint8Array): void;
  setNoise(noise?: Uint8Array): void;
  stages(): string;
  warm(): Promise<string>;
  resume(gaussians: Uint8Array, mesh: Uint8Array, options: string): Generated;
  cutout(picture: Uint8Array, options: string): Promise<EngineCutout>;
  generate(
    cutouts: EngineCutout[],
    options: string,
    onEvent: (json: string) => void,
    ensure: (stage: string) => Promise<void>,
  ): Promise<Generated>;
  renderSplats(width: number, height: number, yaw: number, pitch: number, distance: number): Promise<Uint8ClampedArray>;
  cancel(): void;
  destroyDevice(): void;
  memory(): string;
  free(): void;
}

export interface EngineCutout {
  readonly width: number;
  readonly height: number;
  rgba(): Uint8Array;
  warnings(): string;
  withMask(mask: Uint8Array): EngineCutout;
  free(): void;
}

export interface Generated {
  readonly gaussians: number;
  renderSplats(width: number, height: number, yaw: number, pitch: number, distance: number): Promise<Uint8ClampedArray>;
  dump(): Map<string, Uint8Array>;
  gaussianPly(): Uint8Array;
  picture(options: string): Promise<Uint8Array<ArrayBuffer>>;
  asset(options: string, onEvent: (json: string) => void): Promise<Asset>;
  cancel(): void;
  free(): void;
}

export interface Asset {
  readonly triangles: number;
  file(format: string, options?: string): { name: string; bytes: Uint8Array }[];
  health(): string;
  picture(options: string): Promise<Uint8Array<ArrayBuffer>>;
  cancel(): void;
  free(): void;
}

/** The parts of the work, in order. */
export type StageName =
  | "matting"
  | "encode"
  | "structure"
  | "latent"
  | "gaussians"
  | "mesh"
  | "surface"
  | "unwrap"
  | "bake";

/** What the engine reports while it works; `compiling` and `compiled` come from its worker, before a first run whose weights are still to come. */
export type EngineEvent =
  | { kind: "started"; stage: StageName; title: string; steps: number }
  | { kind: "step"; stage: StageName; step: number; steps: number }
  | { kind: "finished"; stage: StageName; seconds: number; gpuBytes: number }
  | { kind: "note"; text: string }
  | { kind: "compiling" }
  | { kind: "compiled"; kernels: number; seconds: number }
  | { kind: "gaussians"; count: number };

/** What the engine says of this browser and its adapter. */
export interface Facts {
  webgpu: boolean;
  reason?: string;
  cause?: string;
  adapter?: { vendor: string; architecture: string; device: string; description: string; software: boolean };
  tier?: string;
  features?: { f16: boolean; subgroups: boolean; timestamps: boolean };
  limits?: Record<string, number>;
  precision?: string;
  trial?: { open: number; first: number; warm: number };
  advice: string[];
}

/** The health report of a mesh: facts, and warnings in words. */
export interface Health {
  vertices: number;
  triangles: number;
  degenerate: number;
  components: number;
  warnings: string[];
  [fact: string]: number | boolean | string | string[] | null | undefined;
}

/** What comes out: cut-outs and models, as handles on the engine's worker. */
import type { Health } from "./engine-contract";

/** A picture with its subject cut out. The alpha of `rgba` is the mask. */
export interface Cutout {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  /** What may be wrong with picture or mask, in words. */
  readonly warnings: readonly string[];
  /** The same picture cut out by another mask: `width · height` bytes, 255 is the subject. */
  withMask(mask: Uint8Array): Promise<Cutout>;
}

/** `ply` holds the Gaussians; `mesh.ply` the mesh with vertex colours. */
export type ModelFormat = "glb" | "ply" | "mesh.ply" | "obj" | "stl";

export interface ModelFile {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** What a picture of a model shows and how. */
export interface ModelPicture {
  /** Four sides in one PNG, or a turn as an animated WebP that repeats. */
  kind: "four-views" | "turntable";
  /** The textured mesh, its normals, or the Gaussians; default: `texture`. */
  show?: "texture" | "normals" | "splats";
  /** Pixels of a view, 16 to 2048; default: 512. */
  side?: number;
  /** Of a turntable, 1 to 240; default: 36. All frames together may have 64 megapixels. */
  frames?: number;
  /** Stops the pictures of this model that are being drawn, at their next view. */
  signal?: AbortSignal;
}

/** A finished model. */
export interface Model {
  readonly gaussians: number;
  readonly triangles: number;
  readonly health: Health;
  /** The files of a format; several for `obj`, what a file refers to first. */
  files(format: ModelFormat): Promise<ModelFile[]>;
  /** The decoders' outputs and what led to them, as the command line's `--dump` writes them. */
  dump(): Promise<ModelFile[]>;
  /** A picture of the Gaussians. */
  splats(view: { width: number; height: number; yaw: number; pitch: number; distance: number }): Promise<ImageData>;
  /** A picture to keep, as `maquette preview` draws it. It is drawn by the processor, off the page's thread. */
  picture(wanted: ModelPicture): Promise<Blob>;
  /** Gives its memory back. */
  release(): void;
}

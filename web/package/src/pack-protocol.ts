/** What page, engine worker and download worker say to each other about a pack. */
import type { PackIndex } from "./pack-index";

/** Where shards are kept: the origin's private file system, or only this tab's memory. */
export type Keeping = "files" | "memory";

export interface PackStatus {
  url: string;
  index: PackIndex;
  keeping: Keeping;
  /** Bytes that are here. */
  stored: number;
  /** Bytes a stage has here, in the order of `index.stages`. */
  stages: { key: string; stored: number; bytes: number }[];
  complete: boolean;
  /** Whether `pack.json` itself came from this device because the network did not answer or was not asked. */
  fromDevice: boolean;
}

export interface DownloadProgress {
  stored: number;
  bytes: number;
  /** Key of the stage whose shard is under way. */
  stage: string;
  /** What is being done: bytes come, a shard's digest is checked, or a damaged one is fetched again. */
  doing: "fetch" | "check" | "repair";
  bytesPerSecond: number;
}

/** A stage's shards, ready to be read: names of files, or handles on bytes. */
export type StageShards =
  | { keeping: "files"; folder: string; files: { shard: number; name: string }[] }
  | { keeping: "memory"; shards: { shard: number; blob: Blob }[] };

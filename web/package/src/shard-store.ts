/**
 * Where shards lie. In the origin's private file system each is a file named by its digest, so that a changed pack never mixes
 * with an old one; a file of less than full length is a download to be resumed. Where there is no such file system (private
 * windows of some browsers) shards are kept as blobs until the tab closes.
 */
import { MaquetteError } from "./failure";
import type { PackShard } from "./pack-index";
import type { Keeping, StageShards } from "./pack-protocol";

/** A shard that is being written, from some offset on. */
export interface ShardWriter {
  write(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface ShardStore {
  readonly keeping: Keeping;
  /** The stored `pack.json`. */
  text(): Promise<string | undefined>;
  putText(text: string): Promise<void>;
  /** Bytes of a shard that are here. */
  size(shard: PackShard): Promise<number>;
  /** The bytes of a whole shard, for checking. */
  bytes(shard: PackShard): Promise<ArrayBuffer>;
  /** Opens a shard for writing at `offset`; what lies behind is dropped. */
  writer(shard: PackShard, offset: number): Promise<ShardWriter>;
  /** How the engine's worker gets at these shards. */
  hand(shards: { shard: number; entry: PackShard }[]): StageShards;
  /** Drops every shard that is not in this list. */
  retain(shards: PackShard[]): Promise<void>;
  removeAll(): Promise<void>;
}

/** Folder of a pack's shards below the origin's private root. */
export async function packFolder(url: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url));
  return hex(digest).slice(0, 16);
}

export function hex(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const shardName = (shard: PackShard) => `${shard.sha256}.bin`;

/** Opens `packs/<folder>` of the private file system; `undefined` where there is none. */
export async function privateFolder(folder: string, create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const packs = await root.getDirectoryHandle("packs", { create });
    return await packs.getDirectoryHandle(folder, { create });
  } catch {
    return undefined;
  }
}

export async function openStore(url: string): Promise<ShardStore> {
  const folder = await packFolder(url);
  const directory = await privateFolder(folder, true);
  return directory ? new FileStore(folder, directory) : new MemoryStore();
}

class FileStore implements ShardStore {
  readonly keeping = "files";

  constructor(
    readonly folder: string,
    readonly directory: FileSystemDirectoryHandle,
  ) {}

  async text(): Promise<string | undefined> {
    const file = await this.#file("pack.json");
    return file?.text();
  }

  async putText(text: string): Promise<void> {
    const writer = await this.#writer("pack.json", 0);
    writer.write(new TextEncoder().encode(text));
    writer.close();
  }

  async size(shard: PackShard): Promise<number> {
    return (await this.#file(shardName(shard)))?.size ?? 0;
  }

  async bytes(shard: PackShard): Promise<ArrayBuffer> {
    const file = await this.#file(shardName(shard));
    return file ? file.arrayBuffer() : new ArrayBuffer(0);
  }

  writer(shard: PackShard, offset: number): Promise<ShardWriter> {
    return this.#writer(shardName(shard), offset);
  }

  hand(shards: { shard: number; entry: PackShard }[]): StageShards {
    const files = shards.map(({ shard, entry }) => ({ shard, name: shardName(entry) }));
    return { keeping: "files", folder: this.folder, files };
  }

  async retain(shards: PackShard[]): Promise<void> {
    const keep = new Set([...shards.map(shardName), "pack.json"]);
    for await (const name of this.directory.keys()) {
      // A file that another tab reads stays for now; it is tried again when the pack is opened next.
      if (!keep.has(name)) await this.directory.removeEntry(name).catch(() => {});
    }
  }

  async removeAll(): Promise<void> {
    const names: string[] = [];
    for await (const name of this.directory.keys()) names.push(name);
    for (const name of names) {
      await this.directory.removeEntry(name).catch((error: unknown) => {
        throw busy(error);
      });
    }
  }

  async #file(name: string): Promise<File | undefined> {
    try {
      return await (await this.directory.getFileHandle(name)).getFile();
    } catch {
      return undefined;
    }
  }

  async #writer(name: string, offset: number): Promise<ShardWriter> {
    const handle = await this.directory.getFileHandle(name, { create: true });
    const access = await handle.createSyncAccessHandle().catch((error: unknown) => {
      throw busy(error);
    });
    access.truncate(offset);
    let at = offset;
    return {
      write(bytes) {
        try {
          at += access.write(bytes, { at });
        } catch (error) {
          throw isQuota(error) ? full() : error;
        }
      },
      close() {
        access.flush();
        access.close();
      },
    };
  }
}

class MemoryStore implements ShardStore {
  readonly keeping = "memory";
  readonly #blobs = new Map<string, Blob>();
  #text: string | undefined;

  async text(): Promise<string | undefined> {
    return this.#text;
  }

  async putText(text: string): Promise<void> {
    this.#text = text;
  }

  async size(shard: PackShard): Promise<number> {
    return this.#blobs.get(shard.sha256)?.size ?? 0;
  }

  async bytes(shard: PackShard): Promise<ArrayBuffer> {
    return this.#blobs.get(shard.sha256)?.arrayBuffer() ?? new ArrayBuffer(0);
  }

  async writer(shard: PackShard, offset: number): Promise<ShardWriter> {
    const parts: BlobPart[] = [(this.#blobs.get(shard.sha256) ?? new Blob()).slice(0, offset)];
    return {
      write: (bytes) => void parts.push(bytes),
      close: () => void this.#blobs.set(shard.sha256, new Blob(parts)),
    };
  }

  hand(shards: { shard: number; entry: PackShard }[]): StageShards {
    const found = shards.map(({ shard, entry }) => ({ shard, blob: this.#blobs.get(entry.sha256) ?? new Blob() }));
    return { keeping: "memory", shards: found };
  }

  async retain(shards: PackShard[]): Promise<void> {
    const keep = new Set(shards.map((shard) => shard.sha256));
    for (const digest of this.#blobs.keys()) if (!keep.has(digest)) this.#blobs.delete(digest);
  }

  async removeAll(): Promise<void> {
    this.#blobs.clear();
    this.#text = undefined;
  }
}

function isQuota(error: unknown): boolean {
  return error instanceof DOMException && error.name === "QuotaExceededError";
}

function full(): MaquetteError {
  return new MaquetteError("maquette::pack::full", "The browser has no more room for this site.", "Free space on this device, delete old results below, or use a pack of lower precision.");
}

/** A file that someone else holds open. */
export function busy(error: unknown): unknown {
  if (!(error instanceof DOMException) || error.name !== "NoModificationAllowedError") return error;
  return new MaquetteError("maquette::pack::busy", "The weights are in use by another tab or by a run that has not ended.", "Close the other tab, or wait for its run to end, and try again.");
}

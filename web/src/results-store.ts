/** Finished models, kept in this browser (IndexedDB: it holds blobs, also where there is no private file system). */
import type { Health } from "maquette";

export interface ResultSummary {
  id: number;
  name: string;
  made: number;
  seconds: number;
  triangles: number;
  gaussians: number;
  health: Health;
  thumbnail?: Blob;
}

export interface ResultFiles {
  glb: Blob;
  ply: Blob;
  obj: Blob;
}

const open = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open("maquette", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("summaries", { keyPath: "id" });
      request.result.createObjectStore("files");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Runs requests in one transaction over both stores; resolves when it is on disk. */
async function within<T>(mode: IDBTransactionMode, work: (summaries: IDBObjectStore, files: IDBObjectStore) => IDBRequest<T> | undefined): Promise<T | undefined> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(["summaries", "files"], mode);
      const request = work(transaction.objectStore("summaries"), transaction.objectStore("files"));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export async function keepResult(summary: ResultSummary, files: ResultFiles): Promise<void> {
  await within("readwrite", (summaries, blobs) => {
    summaries.put(summary);
    blobs.put(files, summary.id);
    return undefined;
  });
}

/** Newest first. */
export async function listResults(): Promise<ResultSummary[]> {
  const all = (await within<ResultSummary[]>("readonly", (summaries) => summaries.getAll())) ?? [];
  return all.sort((a, b) => b.made - a.made);
}

export function resultFiles(id: number): Promise<ResultFiles | undefined> {
  return within<ResultFiles | undefined>("readonly", (_, files) => files.get(id));
}

export async function removeResult(id: number): Promise<void> {
  await within("readwrite", (summaries, files) => {
    summaries.delete(id);
    files.delete(id);
    return undefined;
  });
}

/** Reading `pack.json`, as far as fetching and storing need it; the engine checks the rest. Format: `docs/weights.md`. */
import { MaquetteError } from "./failure";

export interface PackShard {
  file: string;
  bytes: number;
  sha256: string;
}

export interface PackIndex {
  model: string;
  precision: string;
  license: string;
  bytes: number;
  shards: PackShard[];
  /** Model key → the shards that hold it, in the order in which the stages run. */
  stages: { key: string; shards: number[]; bytes: number }[];
}

/** A stage in words. */
export interface PackStageSummary {
  key: string;
  title: string;
  bytes: number;
}

/** Largest shard that a pack may have; see `docs/weights.md`. */
const SHARD_LIMIT = 64 * 1024 * 1024;

const order = [
  "image_cond_checkpoint",
  "sparse_structure_flow_model",
  "sparse_structure_decoder",
  "slat_flow_model",
  "slat_decoder_gs",
  "slat_decoder_mesh",
];

const titles: Record<string, string> = {
  image_cond_checkpoint: "Image encoder",
  sparse_structure_flow_model: "Structure sampler",
  sparse_structure_decoder: "Structure decoder",
  slat_flow_model: "Surface sampler",
  slat_decoder_gs: "Gaussian decoder",
  slat_decoder_mesh: "Mesh decoder",
};

/** The stages of a pack with their sizes, in the order in which they run. */
export function stagesOf(pack: PackIndex): PackStageSummary[] {
  return pack.stages.map(({ key, bytes }) => ({ key, title: titles[key] ?? key, bytes }));
}

/** Checks the text of a `pack.json`. Names of shards are plain file names, so a pack cannot point elsewhere. */
export function parsePack(text: string): PackIndex {
  const bad = (problem: string) =>
    new MaquetteError("maquette::pack::format", `The pack's description is not usable: ${problem}.`, "Check the address after “?pack=”; it must lead to the pack.json that `maquette-weights pack` wrote.");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  const { version, model, precision, license, shards, stages } = record(json) ?? {};
  if (version !== 1) throw bad(`expected version 1, found ${JSON.stringify(version) ?? "none"}`);
  if (!Array.isArray(shards) || shards.length === 0) throw bad("it lists no shards");
  const checked = shards.map((entry, index): PackShard => {
    const { file, bytes, sha256 } = record(entry) ?? {};
    if (typeof file !== "string" || !/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(file)) throw bad(`shard ${index} has no plain file name`);
    if (!Number.isSafeInteger(bytes) || (bytes as number) < 0 || (bytes as number) > SHARD_LIMIT) throw bad(`shard ${index} has an impossible size`);
    if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw bad(`shard ${index} has no SHA-256`);
    return { file, bytes: bytes as number, sha256 };
  });
  const known = Object.entries(record(stages) ?? {}).map(([key, stage]) => ({ key, ...stageShards(stage, checked.length, bad) }));
  if (known.length === 0) throw bad("it lists no stages");
  const place = (key: string) => (order.includes(key) ? order.indexOf(key) : order.length);
  known.sort((a, b) => place(a.key) - place(b.key) || (a.key < b.key ? -1 : 1));
  const word = (value: unknown, otherwise: string) => (typeof value === "string" ? value : otherwise);
  return {
    model: word(model, "model"),
    precision: word(precision, "unknown"),
    license: word(license, ""),
    bytes: checked.reduce((sum, shard) => sum + shard.bytes, 0),
    shards: checked,
    stages: known,
  };
}

function stageShards(stage: unknown, count: number, bad: (problem: string) => Error): { shards: number[]; bytes: number } {
  const { tensors, bytes } = record(stage) ?? {};
  if (!Array.isArray(tensors)) throw bad("a stage lists no tensors");
  const used = new Set<number>();
  for (const tensor of tensors) {
    const { data, scales } = record(tensor) ?? {};
    for (const range of [...list(data), ...list(scales)]) {
      const shard = record(range)?.shard;
      if (!Number.isInteger(shard) || (shard as number) < 0 || (shard as number) >= count) throw bad("a tensor lies in a shard that is not there");
      used.add(shard as number);
    }
  }
  return { shards: [...used].sort((a, b) => a - b), bytes: typeof bytes === "number" ? bytes : 0 };
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

// Group norm, second step: merges the chunks of a batch item (Chan's formula) into mean and 1/√(variance + eps).
@group(0) @binding(0) var<storage, read_write> parts: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;
// Groups, items, eps, –; then the first chunk of every item, and their number.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= info[0] * info[1]) { return; }
  let item = id.x / info[0];
  var count = 0.0;
  var mean = 0.0;
  var around = 0.0;
  for (var chunk = info[4u + item]; chunk < info[5u + item]; chunk++) {
    let part = parts[chunk * info[0] + id.x % info[0]];
    let both = count + part.x;
    let apart = part.y - mean;
    mean += apart * part.x / both;
    around += part.z + apart * apart * count * part.x / both;
    count = both;
  }
  stats[id.x] = vec2<f32>(mean, 1.0 / sqrt(around / max(count, 1.0) + bitcast<f32>(info[2])));
}

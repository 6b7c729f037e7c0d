// Writes one word: what a dispatch costs that does nothing.
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
// The word.
@group(0) @binding(1) var<storage, read> info: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) tid: u32) {
  if (tid == 0u) { y[0] = info[0]; }
}

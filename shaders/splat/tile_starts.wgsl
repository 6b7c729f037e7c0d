// Where each tile's entries start in the sorted list; one more than there are tiles.
#import workgroup
@group(0) @binding(0) var<storage, read_write> tiles: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
// Entries, length of `starts`.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let tile = linear_workgroup(group, groups) * 64u + tid;
  if (tile >= info[1]) { return; }
  var low = 0u;
  var high = info[0];
  while (low < high) {
    let middle = low + (high - low) / 2u;
    if (tiles[middle] < tile) { low = middle + 1u; } else { high = middle; }
  }
  starts[tile] = low;
}

// rows[tap · voxels + row]: the row of the voxel at offset (i, j, k) − 1 from a voxel, −1 where there is none. Taps count
// (i, j, k), k fastest.
#import workgroup
@group(0) @binding(0) var<storage, read_write> coords: array<u32>;
@group(0) @binding(1) var<storage, read_write> slots: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<i32>;
@group(0) @binding(3) var<storage, read> info: array<u32>;
#import voxel_slots

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= 27u * info[0]) { return; }
  let tap = at / info[0];
  // One below zero becomes the largest word, which no voxel has.
  let wanted = voxel_of(at % info[0]) + vec4<u32>(0u, tap / 9u, tap / 3u % 3u, tap % 3u) - vec4<u32>(0u, 1u, 1u, 1u);
  var slot = first_slot(wanted);
  var found = -1;
  loop {
    let row = slots[slot];
    if (row == FREE) { break; }
    if (all(voxel_of(row) == wanted)) {
      found = i32(row);
      break;
    }
    slot = (slot + 1u) & info[1];
  }
  rows[at] = found;
}

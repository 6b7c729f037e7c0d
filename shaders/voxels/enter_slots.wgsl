// Enters every voxel's row number into the hash table. Where a voxel ends up depends on the order of work; what is found does not.
#import workgroup
@group(0) @binding(0) var<storage, read_write> coords: array<u32>;
// Free before.
@group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> info: array<u32>;
#import voxel_slots

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = linear_workgroup(group, groups) * 256u + tid;
  if (row >= info[0]) { return; }
  var slot = first_slot(voxel_of(row));
  loop {
    let seen = atomicCompareExchangeWeak(&slots[slot], FREE, row);
    if (seen.exchanged) { break; }
    // A weak exchange may fail on a free slot: that one is tried again.
    if (seen.old_value != FREE) { slot = (slot + 1u) & info[1]; }
  }
}

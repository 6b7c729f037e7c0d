// Which pixels of a batch of views are observations: those where the mesh is and any byte of the picture is above 0.
#import workgroup
@group(0) @binding(0) var<storage, read_write> colors: array<u32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> flags: array<u32>;
// Pixels of all views.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0]) { return; }
  flags[at] = select(0u, 1u, colors[at] != 0u && ids[at] > 0u);
}

// Which bricks of cubes and of grid vertices a set of voxels needs. A voxel is a cube; its coordinates are packed in ten bits
// each, x in the highest.
#import workgroup
@group(0) @binding(0) var<storage, read_write> coords: array<u32>;
@group(0) @binding(1) var<storage, read_write> cubes: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> vertices: array<atomic<u32>>;
// Voxels, bricks a side for cubes and for vertices.
@group(0) @binding(3) var<storage, read> info: array<u32>;
#import cube_corners

fn place(p: vec3<u32>, n: u32) -> u32 {
  let b = p / 4u;
  return (b.x * n + b.y) * n + b.z;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let p = voxel_position(coords[i]);
  atomicStore(&cubes[place(p, info[1])], 1u);
  for (var m = 0u; m < 8u; m++) {
    let corner = p + cube_corner(m);
    atomicStore(&vertices[place(corner, info[2])], 1u);
  }
}

// The four cubes around the grid edge along an axis that ends at the far corner of a cube, in order of growing cube index.
// Cube q lies at `around`, and the edge is its edge number `edge_in`.
fn around(axis: u32, q: u32) -> vec3<u32> {
  let step = vec2<u32>(q >> 1u, q & 1u);
  if (axis == 0u) { return vec3<u32>(0u, step); }
  if (axis == 1u) { return vec3<u32>(step.x, 0u, step.y); }
  return vec3<u32>(step, 0u);
}

// Four bits a cube.
fn edge_in(axis: u32, q: u32) -> u32 {
  var edges = 0x0246u;
  if (axis == 1u) { edges = 0x8b9au; }
  if (axis == 2u) { edges = 0x3715u; }
  return (edges >> (4u * q)) & 15u;
}

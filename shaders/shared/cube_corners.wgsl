// Corner m of a cube lies at its lowest corner plus (bit 0, bit 1, bit 2 of m).
fn cube_corner(m: u32) -> vec3<u32> {
  return vec3<u32>(m, m >> 1u, m >> 2u) & vec3<u32>(1u);
}

// A voxel's coordinates: ten bits each, x in the highest.
fn voxel_position(word: u32) -> vec3<u32> {
  return (vec3<u32>(word) >> vec3<u32>(20u, 10u, 0u)) & vec3<u32>(1023u);
}

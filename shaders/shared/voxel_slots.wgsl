// A hash table of voxels with open addressing. `slots` holds row numbers, `coords` four words a row (batch, x, y, z), word 0 of
// `info` is the number of voxels, word 1 the number of slots less one; slots are a power of two and at least half are free,
// so every probe ends.
const FREE: u32 = 0xffffffffu;

// Coordinates are below 2^15 (shared with the host): two words hold all four.
fn first_slot(voxel: vec4<u32>) -> u32 {
  var h = (voxel.x << 16u) ^ voxel.y;
  h = (h ^ (h >> 15u)) * 0x2c1b3c6du;
  h ^= (voxel.z << 16u) ^ voxel.w;
  h = (h ^ (h >> 12u)) * 0x297a2d39u;
  return (h ^ (h >> 15u)) & info[1];
}

fn voxel_of(row: u32) -> vec4<u32> {
  return vec4<u32>(coords[4u * row], coords[4u * row + 1u], coords[4u * row + 2u], coords[4u * row + 3u]);
}

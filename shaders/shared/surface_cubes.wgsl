// The cubes that the surface passes through, sorted: `keys` holds their coordinates, x in the highest bits. Words 1, 2 and 3 of
// `info` are their number, the grid's side in cubes and the bits of a coordinate.
const NO_CUBE: u32 = 0xffffffffu;

fn cube_position(key: u32) -> vec3<u32> {
  let bits = info[3];
  return vec3<u32>(key >> (2u * bits), key >> bits, key) & vec3<u32>((1u << bits) - 1u);
}

// The cube's place in the list, or NO_CUBE.
fn cube_at(p: vec3<u32>) -> u32 {
  if (any(p >= vec3<u32>(info[2]))) { return NO_CUBE; }
  let wanted = (p.x << (2u * info[3])) | (p.y << info[3]) | p.z;
  var low = 0u;
  var high = info[1];
  while (low < high) {
    let middle = (low + high) / 2u;
    if (keys[middle] < wanted) { low = middle + 1u; } else { high = middle; }
  }
  if (low == info[1] || keys[low] != wanted) { return NO_CUBE; }
  return low;
}

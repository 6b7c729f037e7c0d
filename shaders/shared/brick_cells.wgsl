// Where a cell lies: `origins` holds every brick's place in a grid of `n`³ bricks.
fn cell_position(slot: u32, n: u32) -> vec3<u32> {
  let place = origins[slot / 64u];
  let cell = slot % 64u;
  return 4u * vec3<u32>(place / (n * n), place / n % n, place % n) + vec3<u32>(cell / 16u, cell / 4u % 4u, cell % 4u);
}

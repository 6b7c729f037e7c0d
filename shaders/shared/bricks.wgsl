// A sparse 3D array in bricks of 4³ cells. `starts[b]` is the number of bricks that exist before place b of the grid of bricks
// (x slowest), one entry more than there are places; word 0 of `info` is the grid's side in bricks.
const ABSENT: u32 = 0xffffffffu;

// The slot of a cell, ABSENT where there is no brick. What lies one below zero is beyond every grid.
fn slot_of(p: vec3<u32>) -> u32 {
  let n = info[0];
  let b = p / 4u;
  if (any(b >= vec3<u32>(n))) { return ABSENT; }
  let place = (b.x * n + b.y) * n + b.z;
  let brick = starts[place];
  if (starts[place + 1u] == brick) { return ABSENT; }
  let c = p % 4u;
  return brick * 64u + (c.x * 4u + c.y) * 4u + c.z;
}

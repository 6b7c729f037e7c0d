// The row of x that tap `tap` of a 3×3×3 kernel reads for row `row`, or −1. Taps count (i, j, k), k fastest.
#if GATHER == "table"
fn neighbour(tap: u32, row: u32) -> i32 {
  return rows[tap * info[0] + row];
}
#else
// A dense volume of rows ((b·X + x)·Y + y)·Z + z; X, Y, Z are words 8, 9 and 10 of `info`.
fn neighbour(tap: u32, row: u32) -> i32 {
  let z = i32(row % info[10]) + i32(tap % 3u) - 1;
  let y = i32(row / info[10] % info[9]) + i32(tap / 3u % 3u) - 1;
  let x = i32(row / (info[10] * info[9]) % info[8]) + i32(tap / 9u) - 1;
  let inside = x >= 0 && x < i32(info[8]) && y >= 0 && y < i32(info[9]) && z >= 0 && z < i32(info[10]);
  let step = ((i32(tap / 9u) - 1) * i32(info[9]) + i32(tap / 3u % 3u) - 1) * i32(info[10]) + i32(tap % 3u) - 1;
  return select(-1, i32(row) + step, inside);
}
#end

// Groups of rows in `info`, from word GROUPS on: the common length or 0, the number of groups, then (when lengths differ)
// the offsets, one more than there are groups.
fn group_of(row: u32) -> u32 {
  let length = info[${GROUPS}u];
  if (length != 0u) { return row / length; }
  // The last group that starts at or before the row; empty groups before it start at the same row.
  var low = 0u;
  var high = info[${GROUPS + 1}u];
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (info[${GROUPS + 2}u + middle] <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

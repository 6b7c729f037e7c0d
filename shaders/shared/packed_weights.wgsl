// Weights packed as integers, W i8 (one scale a row) or i4 (lowest nibble first, 8 means 0; info[7] columns share a scale, the
// last ones of a row may be fewer). `four` counts fours of a row, which has `fours` of them.
fn unpacked(row: u32, four: u32, fours: u32) -> vec4<f32> {
  let at = row * fours + four;
#if W == "i8"
  let packed = bitcast<i32>(w[at]);
  let values = vec4<f32>(vec4<i32>(packed << 24u, packed << 16u, packed << 8u, packed) >> vec4<u32>(24u));
  return values * unpack2x16float(scales[row / 2u])[row % 2u];
#else
  let packed = w[at / 2u] >> ((at % 2u) * 16u);
  let values = vec4<f32>((vec4<u32>(packed, packed >> 4u, packed >> 8u, packed >> 12u) & vec4<u32>(15u))) - 8.0;
  let share = info[7] / 4u;
  let group = row * ((fours + share - 1u) / share) + four / share;
  return values * unpack2x16float(scales[group / 2u])[group % 2u];
#end
}

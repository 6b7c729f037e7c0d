// Four f16 as two words: a load or store of four words is one of 16 bytes, where a compiler that knows of 8-byte alignment
// makes two of two vec4<f16>.
fn from_halves(words: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

// Through f16, whose conversion rounds to nearest; that of pack2x16float may cut off.
fn to_halves(values: vec4<f32>) -> vec2<u32> {
  let rounded = vec4<f32>(vec4<f16>(values));
  return vec2<u32>(pack2x16float(rounded.xy), pack2x16float(rounded.zw));
}

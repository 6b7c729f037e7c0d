// Writes the observations one after another: u, v, level of detail, colour bytes.
#import workgroup
#import mip_chain
@group(0) @binding(0) var<storage, read_write> uv: array<f32>;
@group(0) @binding(1) var<storage, read_write> derivatives: array<f32>;
@group(0) @binding(2) var<storage, read_write> colors: array<u32>;
// Observations before each pixel, and of all.
@group(0) @binding(3) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> samples: array<vec4<u32>>;
// Pixels of all views, side of the texture.
@group(0) @binding(5) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0]) { return; }
  if (offsets[at] == offsets[at + 1u]) { return; }
  let d = vec4<f32>(derivatives[at * 4u], derivatives[at * 4u + 1u], derivatives[at * 4u + 2u], derivatives[at * 4u + 3u]);
  let place = vec2<f32>(uv[at * 2u], uv[at * 2u + 1u]);
  samples[offsets[at]] = vec4<u32>(bitcast<vec2<u32>>(place), bitcast<u32>(footprint_level(d, info[1])), colors[at]);
}

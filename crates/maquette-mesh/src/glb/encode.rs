//! Mesh arrays as glTF accessor bytes, plain or quantised.

use gltf_json::accessor::{ComponentType, Type};
use serde_json::{Value, json};

use crate::TriangleMesh;
use crate::formats::UpAxis;
use crate::portable::powf;

/// One accessor's data before it is placed in the buffer.
pub(super) struct Stream {
    pub bytes: Vec<u8>,
    /// Bytes from element to element, padded to a multiple of 4 for vertex data.
    pub stride: usize,
    pub count: usize,
    pub component: ComponentType,
    pub shape: Type,
    pub normalized: bool,
    pub min_max: Option<(Value, Value)>,
}

/// Positions with the node transform that undoes their quantisation: (scale, translation).
pub(super) type PlacedPositions = (Stream, Option<(f32, [f32; 3])>);

fn floats<const N: usize>(rows: impl ExactSizeIterator<Item = [f32; N]>, shape: Type) -> Stream {
    let count = rows.len();
    let mut bytes = Vec::with_capacity(count * N * 4);
    rows.for_each(|r| r.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes())));
    let component = ComponentType::F32;
    Stream { bytes, stride: N * 4, count, component, shape, normalized: false, min_max: None }
}

pub(super) fn positions(mesh: &TriangleMesh, quantize: bool) -> PlacedPositions {
    let rows = || mesh.positions.iter().map(|p| UpAxis::Y.to_file(*p));
    let first = rows().next().unwrap_or_default();
    let (lo, hi): ([f32; 3], [f32; 3]) = rows().fold((first, first), |(lo, hi), p| {
        (std::array::from_fn(|k| lo[k].min(p[k])), std::array::from_fn(|k| hi[k].max(p[k])))
    });
    if !quantize {
        let mut stream = floats(rows(), Type::Vec3);
        stream.min_max = Some((json!(lo), json!(hi)));
        return (stream, None);
    }
    // One scale for all axes, so that normals need no correction; 16 bits over the longest side.
    let extent = (0..3).map(|k| hi[k] - lo[k]).fold(f32::MIN_POSITIVE, f32::max);
    let mut bytes = Vec::with_capacity(mesh.positions.len() * 8);
    let (mut low, mut high) = ([u16::MAX; 3], [0u16; 3]);
    for p in rows() {
        for k in 0..3 {
            let q = ((p[k] - lo[k]) / extent * 65535.0 + 0.5) as u16;
            (low[k], high[k]) = (low[k].min(q), high[k].max(q));
            bytes.extend_from_slice(&q.to_le_bytes());
        }
        bytes.extend_from_slice(&[0, 0]);
    }
    let stream = Stream {
        bytes,
        stride: 8,
        count: mesh.positions.len(),
        component: ComponentType::U16,
        shape: Type::Vec3,
        normalized: true,
        min_max: Some((json!(low), json!(high))),
    };
    (stream, Some((extent, lo)))
}

pub(super) fn normals(mesh: &TriangleMesh, quantize: bool) -> Stream {
    let rows = mesh.normals.iter().map(|n| {
        let n = UpAxis::Y.to_file(*n);
        let l = n.iter().map(|x| x * x).sum::<f32>().sqrt();
        // Viewers divide by the length; a zero or broken normal would spread NaN.
        if l > 1e-6 && l.is_finite() { n.map(|x| x / l) } else { [0.0, 1.0, 0.0] }
    });
    if !quantize {
        return floats(rows, Type::Vec3);
    }
    let bytes = rows.flat_map(|n| {
        let q = n.map(|x| (x * 127.0).round() as i8 as u8);
        [q[0], q[1], q[2], 0]
    });
    Stream {
        bytes: bytes.collect(),
        stride: 4,
        count: mesh.normals.len(),
        component: ComponentType::I8,
        shape: Type::Vec3,
        normalized: true,
        min_max: None,
    }
}

/// Texture coordinates with glTF's v; quantised only if all lie in the unit square.
pub(super) fn uvs(mesh: &TriangleMesh, quantize: bool) -> Stream {
    let rows = mesh.uvs.iter().map(|[u, v]| [*u, 1.0 - v]);
    let in_square = rows.clone().flatten().all(|x| (0.0..=1.0).contains(&x));
    if !(quantize && in_square) {
        return floats(rows, Type::Vec2);
    }
    let bytes = rows.flatten().flat_map(|x| ((x * 65535.0 + 0.5) as u16).to_le_bytes());
    Stream {
        bytes: bytes.collect(),
        stride: 4,
        count: mesh.uvs.len(),
        component: ComponentType::U16,
        shape: Type::Vec2,
        normalized: true,
        min_max: None,
    }
}

/// Vertex colours: glTF wants them linear, 16 bits keep the dark tones.
pub(super) fn colors(mesh: &TriangleMesh) -> Stream {
    let linear = |c: f32| {
        let c = c.clamp(0.0, 1.0);
        if c <= 0.040_45 { c / 12.92 } else { powf((c + 0.055) / 1.055, 2.4) }
    };
    let bytes = mesh.colors.iter().flat_map(|c| {
        let [r, g, b] = c.map(|x| (linear(x) * 65535.0 + 0.5) as u16);
        [r, g, b, u16::MAX]
    });
    Stream {
        bytes: bytes.flat_map(u16::to_le_bytes).collect(),
        stride: 8,
        count: mesh.colors.len(),
        component: ComponentType::U16,
        shape: Type::Vec4,
        normalized: true,
        min_max: None,
    }
}

/// Indices in 16 bits where they fit (65535 is the restart value), else 32.
pub(super) fn indices(mesh: &TriangleMesh) -> Stream {
    let small = mesh.positions.len() <= 65535;
    let all = mesh.faces.iter().flatten();
    let bytes = if small {
        all.flat_map(|&i| (i as u16).to_le_bytes()).collect()
    } else {
        all.flat_map(|i| i.to_le_bytes()).collect()
    };
    let component = if small { ComponentType::U16 } else { ComponentType::U32 };
    let (stride, count) = (if small { 2 } else { 4 }, mesh.faces.len() * 3);
    Stream { bytes, stride, count, component, shape: Type::Scalar, normalized: false, min_max: None }
}

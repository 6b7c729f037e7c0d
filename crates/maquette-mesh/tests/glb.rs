//! GLB files over all options: written, read back, and damaged.

use maquette_mesh::glb::{GlbOptions, Texture, TextureFormat, read, write};
use maquette_mesh::{TriangleMesh, shapes};
use serde_json::json;

fn mesh(normals: bool, uvs: bool, colors: bool) -> TriangleMesh {
    let mut m = shapes::torus(24, 12, 0.3, 0.12);
    if normals {
        m.compute_normals();
    }
    if uvs {
        m.uvs = m.positions.iter().map(|p| [p[0] + 0.5, p[1] + 0.5]).collect();
    }
    if colors {
        m.colors = m.positions.iter().map(|p| [p[0] + 0.5, p[1] + 0.5, p[2] + 0.5]).collect();
    }
    m
}

fn texture() -> Texture {
    Texture { width: 16, height: 8, rgb: (0..16 * 8 * 3).map(|i| (i * 7 % 256) as u8).collect() }
}

fn close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let d = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(d <= tolerance, "{what} differs by {d}");
}

/// Corners of all faces, one after another; faces by position and each from its lowest corner, since compression reorders
/// them. (Positions are compared coarsely, against quantisation.)
fn in_common_order(m: &TriangleMesh) -> TriangleMesh {
    let key = |v: u32| m.positions[v as usize].map(|x| (x * 2000.0).round() as i64);
    let mut faces: Vec<[u32; 3]> = m
        .faces
        .iter()
        .map(|f| {
            let k = (0..3).min_by_key(|&k| key(f[k])).unwrap_or(0);
            [f[k], f[(k + 1) % 3], f[(k + 2) % 3]]
        })
        .collect();
    faces.sort_by_key(|f| f.map(key));
    let pick = |values: &[[f32; 3]]| -> Vec<[f32; 3]> {
        if values.is_empty() { Vec::new() } else { faces.iter().flatten().map(|&v| values[v as usize]).collect() }
    };
    let uvs = if m.uvs.is_empty() { Vec::new() } else { faces.iter().flatten().map(|&v| m.uvs[v as usize]).collect() };
    TriangleMesh {
        positions: pick(&m.positions),
        normals: pick(&m.normals),
        colors: pick(&m.colors),
        uvs,
        faces: Vec::new(),
    }
}

#[test]
fn every_option_survives_reading_back() {
    for (normals, textured, colors) in
        [(false, false, false), (true, true, false), (false, true, true), (true, false, true)]
    {
        for quantize in [false, true] {
            for meshopt in [false, true] {
                for format in [TextureFormat::Png, TextureFormat::Jpeg(90), TextureFormat::WebP] {
                    let m = mesh(normals, textured, colors);
                    let texture = textured.then(texture);
                    let options = GlbOptions { texture_format: format, quantize, meshopt, ..GlbOptions::default() };
                    let bytes = write(&m, texture.as_ref(), &options).expect("valid");
                    let back = read(&bytes).expect("own file");
                    assert_eq!(back.primitives, 1);
                    assert_eq!(back.images, usize::from(textured));
                    assert_eq!(back.texture.is_some(), textured);
                    assert_eq!(back.mesh.faces.len(), m.faces.len());
                    let (m, back) = (in_common_order(&m), in_common_order(&back.mesh));
                    let fine = if quantize { 1e-5 } else { 0.0 };
                    close(back.positions.as_flattened(), m.positions.as_flattened(), fine, "positions");
                    let coarse = if quantize { 6e-3 } else { 1e-6 };
                    close(back.normals.as_flattened(), m.normals.as_flattened(), coarse, "normals");
                    if textured {
                        close(back.uvs.as_flattened(), m.uvs.as_flattened(), 1e-5, "uvs");
                        assert!(back.colors.is_empty(), "colours would be multiplied with the texture");
                    } else {
                        close(back.colors.as_flattened(), m.colors.as_flattened(), 1e-3, "colours");
                    }
                }
            }
        }
    }
}

#[test]
fn extras_generator_and_material_are_as_asked() {
    let mut options = GlbOptions::default();
    options.extras.insert("seed".into(), json!(42));
    let m = mesh(true, true, false);
    let text = |options: &GlbOptions| {
        let bytes = write(&m, Some(&texture()), options).expect("valid");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert!(text(&options).contains("\"metallicFactor\":0.0"));
    let back = read(&write(&m, Some(&texture()), &options).expect("valid")).expect("own file");
    assert_eq!(back.extras["seed"], 42);
    assert!(back.generator.expect("set").starts_with("maquette "));
    options.reference_material = true;
    assert!(!text(&options).contains("metallicFactor"));
}

#[test]
fn more_than_65535_vertices_take_wide_indices() {
    let m = shapes::sphere(260, 256, 0.5);
    assert!(m.positions.len() > 65536);
    for meshopt in [false, true] {
        let bytes = write(&m, None, &GlbOptions { meshopt, ..GlbOptions::default() }).expect("valid");
        assert_eq!(read(&bytes).expect("own file").mesh.positions.len(), m.positions.len());
    }
}

#[test]
fn compression_makes_files_smaller() {
    let m = mesh(true, false, true);
    let size = |quantize, meshopt| {
        write(&m, None, &GlbOptions { quantize, meshopt, ..GlbOptions::default() }).expect("valid").len()
    };
    assert!(size(true, false) < size(false, false));
    assert!(size(true, true) < size(true, false));
}

#[test]
fn damaged_files_and_impossible_requests_are_errors() {
    let m = mesh(true, true, false);
    let bytes = write(&m, Some(&texture()), &GlbOptions::default()).expect("valid");
    for cut in (0..bytes.len() - 1).step_by(97) {
        assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(write(&TriangleMesh::default(), None, &GlbOptions::default()).is_err());
    assert!(write(&mesh(false, false, false), Some(&texture()), &GlbOptions::default()).is_err());
    let wrong = Texture { width: 3, height: 3, rgb: vec![0; 5] };
    assert!(write(&m, Some(&wrong), &GlbOptions::default()).is_err());
    let mut broken = m;
    broken.positions[0][0] = f32::NAN;
    assert!(write(&broken, None, &GlbOptions::default()).is_err());
}

//! All steps in a row, from decoded numbers or broken meshes to a GLB; and file readers against damaged bytes.

mod goldens_support;

use std::collections::HashMap;

use goldens_support::{Golden, all};
use maquette_mesh::formats::{UpAxis, gaussian_ply, mesh_ply, stl};
use maquette_mesh::glb::{self, GlbOptions};
use maquette_mesh::process::{CloseReport, FinishOptions, clean, close, reduce, weld};
use maquette_mesh::raster_mesh::face_visibility;
use maquette_mesh::reference::Tensors;
use maquette_mesh::uv::{AtlasOptions, BoxUnwrapper, ChartUnwrapper, Unwrapper};
use maquette_mesh::{Gaussians, HealthContext, MeshError, TriangleMesh, health, shapes};

/// Both halves of the processing, with a few small views.
fn finish(mesh: &TriangleMesh, options: &FinishOptions) -> Result<(TriangleMesh, CloseReport), MeshError> {
    let reduced = reduce(mesh, options)?;
    let visibility = face_visibility(&reduced.mesh, 24, 128, &|_| true)?;
    close(reduced, Some(&visibility), options)
}

/// Finish, unwrap, write, read: every step gives a result or a clear error.
fn walk(mesh: &TriangleMesh, target: usize) -> Result<usize, MeshError> {
    let options = FinishOptions { target_faces: Some(target), ..FinishOptions::default() };
    let (done, _) = finish(mesh, &options)?;
    done.validate()?;
    let charted = ChartUnwrapper::default().unwrap(&done, &AtlasOptions::for_size(256), &|_| true);
    let unwrapped = match charted {
        Ok(u) => u,
        Err(MeshError::Unwrap { .. }) => BoxUnwrapper.unwrap(&done, &AtlasOptions::for_size(256), &|_| true)?,
        Err(e) => return Err(e),
    };
    let mut textured = unwrapped.mesh;
    textured.compute_normals();
    let bytes = glb::write(&textured, None, &GlbOptions { meshopt: true, quantize: true, ..GlbOptions::default() })?;
    health(&textured, &HealthContext::default())?;
    Ok(glb::read(&bytes)?.mesh.faces.len())
}

fn joined(a: &TriangleMesh, b: &TriangleMesh) -> TriangleMesh {
    let mut out = a.clone();
    let shift = a.positions.len() as u32;
    out.positions.extend(&b.positions);
    out.faces.extend(b.faces.iter().map(|f| f.map(|v| v + shift)));
    out
}

fn moved(m: &TriangleMesh, by: [f32; 3]) -> TriangleMesh {
    let mut out = m.clone();
    out.positions.iter_mut().for_each(|p| (0..3).for_each(|k| p[k] += by[k]));
    out
}

#[test]
fn sound_and_degenerate_meshes_go_through_or_say_why_not() {
    let box_ = shapes::cuboid([0.4; 3]);
    let flat = TriangleMesh::new(
        (0..9).map(|i| [(i % 3) as f32 * 0.1, (i / 3) as f32 * 0.1, 0.0]).collect(),
        vec![[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]],
    );
    let sphere = shapes::sphere(40, 60, 0.4);
    let mut inside_out = shapes::sphere(20, 30, 0.3);
    inside_out.faces.iter_mut().for_each(|f| f.swap(1, 2));
    let touching = weld(&joined(&box_, &moved(&box_, [0.4, 0.4, 0.0])), 1e-4).expect("valid");
    let crossing = joined(&sphere, &moved(&sphere, [0.1, 0.05, 0.0]));
    let nested = joined(&sphere, &shapes::sphere(20, 30, 0.2));
    let good = [&box_, &flat, &sphere, &inside_out, &touching, &crossing, &nested];
    for (n, m) in good.into_iter().enumerate() {
        let faces = walk(m, 800).unwrap_or_else(|e| panic!("mesh {n}: {e}"));
        assert!(faces > 0 && faces <= 2000, "mesh {n} has {faces} faces");
    }
    let single = TriangleMesh::new(vec![[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]], vec![[0, 1, 2]]);
    assert!(walk(&single, 10).is_ok());
    assert!(matches!(walk(&TriangleMesh::default(), 10), Err(MeshError::Empty { .. })));
    let needles = TriangleMesh::new(vec![[0.0; 3]; 3], vec![[0, 0, 1], [1, 1, 2]]);
    assert!(matches!(walk(&needles, 10), Err(MeshError::Empty { .. })));
}

#[test]
fn a_mesh_that_no_view_sees_stays_whole() {
    let mesh = shapes::sphere(20, 30, 0.4);
    let options = FinishOptions { target_faces: Some(400), ..FinishOptions::default() };
    let reduced = reduce(&mesh, &options).expect("valid");
    let hidden = vec![0.0; reduced.mesh.faces.len()];
    let (done, report) = close(reduced, Some(&hidden), &options).expect("valid");
    assert_eq!((done.faces.len(), report.hidden_faces), (400, 0));
    done.validate().expect("finite and in range");
}

#[test]
fn a_hidden_sphere_disappears_in_finishing() {
    let nested = joined(&shapes::sphere(24, 36, 0.4), &shapes::sphere(16, 24, 0.2));
    let options = FinishOptions { target_faces: None, ..FinishOptions::default() };
    let (done, report) = finish(&nested, &options).expect("valid");
    assert_eq!(report.hidden_faces, shapes::sphere(16, 24, 0.2).faces.len());
    assert_eq!(done.faces.len(), shapes::sphere(24, 36, 0.4).faces.len());
}

#[test]
fn extracted_meshes_become_a_glb_and_cleaning_leaves_them_manifold() {
    // Spheres, tori, noise, a decoder's output: whichever are there.
    let extracted = all("trellis/cases", "").into_iter().filter(|(_, g)| g.has("out.vertices") && g.has("out.faces"));
    let mut meshes = 0;
    for (name, g) in extracted {
        let faces = g.rows_i32::<3>("out.faces").into_iter().map(|f| f.map(|v| v as u32)).collect();
        let mesh = TriangleMesh::new(g.rows("out.vertices"), faces);
        let (cleaned, _) = clean(&mesh).expect("valid");
        let mut sides: HashMap<(u32, u32), u32> = HashMap::new();
        for f in &cleaned.faces {
            (0..3).for_each(|k| *sides.entry((f[k], f[(k + 1) % 3])).or_default() += 1);
        }
        let crowded = sides.iter().filter(|((a, b), n)| **n + sides.get(&(*b, *a)).copied().unwrap_or(0) > 2).count();
        assert_eq!(crowded, 0, "{name}");
        assert!(walk(&mesh, 1500).expect("a result") > 0, "{name}");
        meshes += 1;
    }
    assert!(meshes > 0);
}

#[test]
fn no_reader_panics_on_damaged_bytes() {
    let mut m = shapes::torus(12, 8, 0.3, 0.1);
    m.compute_normals();
    let gaussians = Gaussians {
        means: vec![[0.1; 3]; 9],
        scales: vec![[0.01; 3]; 9],
        quats: vec![[1.0, 0.0, 0.0, 0.0]; 9],
        opacities: vec![0.5; 9],
        f_dc: vec![[0.2; 3]; 9],
    };
    let packed = GlbOptions { meshopt: true, quantize: true, ..GlbOptions::default() };
    let files = [
        glb::write(&m, None, &GlbOptions::default()).expect("valid"),
        glb::write(&m, None, &packed).expect("valid"),
        mesh_ply::write(&m, UpAxis::Y).expect("valid"),
        stl::write(&m, UpAxis::Z, 1.0).expect("valid"),
        gaussian_ply::write(&gaussians, gaussian_ply::Frame::World).expect("valid"),
    ];
    let mut state = 11u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for file in &files {
        for _ in 0..1500 {
            let mut bytes = file.clone();
            for _ in 0..1 + random(4) {
                // Half of the damage goes to the headers, where it does most.
                let reach = if random(2) == 0 { bytes.len().min(1200) } else { bytes.len() };
                let at = random(reach);
                bytes[at] = if random(2) == 0 { random(256) as u8 } else { b"0123456789,[]{}\""[random(16)] };
            }
            // Only the absence of a panic counts: some damage leaves a valid file.
            let _ = glb::read(&bytes);
            let _ = mesh_ply::read(&bytes, UpAxis::Z);
            let _ = stl::read(&bytes, UpAxis::Z);
            let _ = gaussian_ply::read(&bytes, gaussian_ply::Frame::World);
        }
    }
}

#[test]
fn a_circle_of_nodes_is_refused() {
    let good = glb::write(&shapes::cuboid([1.0; 3]), None, &GlbOptions::default()).expect("valid");
    // Header 12 bytes, chunk header 8.
    let start = 20;
    let length = u32::from_le_bytes([good[12], good[13], good[14], good[15]]) as usize;
    let mut json: serde_json::Value = serde_json::from_slice(&good[start..start + length]).expect("own JSON");
    json["nodes"][0]["children"] = serde_json::json!([0, 0]);
    let mut body = serde_json::to_vec(&json).expect("JSON");
    body.resize(body.len().next_multiple_of(4), b' ');
    let mut bytes = good[..12].to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(b"JSON");
    bytes.extend(&body);
    bytes.extend(&good[20 + length..]);
    assert!(matches!(glb::read(&bytes), Err(MeshError::Format { .. })));
}

/// The mesh of the reference's end-to-end run: thousands of scraps, open borders, touching sheets.
#[test]
fn the_end_to_end_mesh_becomes_a_manifold_of_the_wanted_size() {
    let g = Golden::open_first(&["trellis/e2e/e2e.safetensors", "cli/end_to_end.safetensors"]);
    let faces = g.rows_i32::<3>("mesh.faces").into_iter().map(|f| f.map(|v| v as u32)).collect();
    let mesh = TriangleMesh::new(g.rows("mesh.vertices"), faces);
    let options = FinishOptions { target_faces: Some(4000), ..FinishOptions::default() };
    let (done, report) = finish(&mesh, &options).expect("valid");
    done.validate().expect("finite and in range");
    assert!(done.faces.len() > 1000 && done.faces.len() <= 8000, "{} faces, {report:?}", done.faces.len());
    // Sheets that only touch lie apart now; judged by vertex numbers, as `health` would weld them together again.
    let (_, again) = clean(&done).expect("valid");
    assert_eq!((again.non_manifold_edges, again.split_vertices, again.doubled), (0, 0, 0), "{again:?}");
}

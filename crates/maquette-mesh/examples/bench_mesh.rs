//! Times the CPU side from decoded voxels to GLB, one core: `cargo run --release -p maquette-mesh --example bench_mesh`.
//!
//! `--large` reduces two million faces, `--holes FILE.ply` fills holes, `--distance ORIGINAL REDUCED...` compares files.
//! The scene is a bumpy torus knot of latent voxels at 64³, each with its 4³ fine voxels, as a mesh decoder returns them.

use std::sync::OnceLock;
use std::time::Instant;

use maquette_mesh::bake::{ProjectionView, TexelMap, back_project, dilate};
use maquette_mesh::camera::{OrbitCamera, multiply, transform};
use maquette_mesh::flexicubes::{ROW, SparseExtractor};
use maquette_mesh::formats::{UpAxis, mesh_ply};
use maquette_mesh::glb::{self, GlbOptions};
use maquette_mesh::process::{DecimateOptions, HoleOptions, clean, decimate, fill_holes, mesh_distance};
use maquette_mesh::raster_mesh::{face_visibility, rasterize, visible_faces};
use maquette_mesh::uv::{AtlasOptions, BoxUnwrapper, ChartUnwrapper, Unwrapper};
use maquette_mesh::{HealthContext, TriangleMesh, health, shapes};

/// Seconds of processor time so far where the system tells (Linux), which a busy machine does not distort; else wall time.
fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.as_deref().and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    spent.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

fn timed<T>(name: &str, f: impl FnOnce() -> T) -> T {
    let start = clock();
    let out = f();
    println!("{name:34} {:8.1} ms", (clock() - start) * 1e3);
    out
}

/// Signed distance to a torus with bumps, in world units.
fn field(p: [f32; 3]) -> f32 {
    let ring = (p[0] * p[0] + p[1] * p[1]).sqrt() - 0.28;
    let bump = 0.012 * (40.0 * p[0]).sin() * (37.0 * p[1]).sin() * (43.0 * p[2]).sin();
    (ring * ring + p[2] * p[2]).sqrt() - 0.15 + bump
}

/// Fine voxel coordinates of all latent voxels near the surface.
fn coordinates(latent_limit: usize) -> Vec<[i32; 3]> {
    let mut out = Vec::new();
    let mut latent = 0;
    for i in 0..64i32.pow(3) {
        let c = [i / 4096, i / 64 % 64, i % 64];
        let centre = c.map(|x| (x as f32 + 0.5) / 64.0 - 0.5);
        if field(centre).abs() < 0.03 && latent < latent_limit {
            latent += 1;
            out.extend((0..64).map(|k| [c[0] * 4 + k / 16, c[1] * 4 + k / 4 % 4, c[2] * 4 + k % 4]));
        }
    }
    out
}

fn row(c: [i32; 3], out: &mut [f32]) {
    for m in 0..8 {
        let corner = [c[0] + (m & 1), c[1] + (m >> 1 & 1), c[2] + (m >> 2 & 1)];
        let p = corner.map(|x| x as f32 / 256.0 - 0.5);
        out[m as usize] = field(p) + 1.0 / 256.0;
        for k in 0..3 {
            out[8 + 3 * m as usize + k] = 0.3 * (50.0 * p[k]).sin();
            out[53 + 6 * m as usize + k] = 4.0 * p[k];
        }
    }
    (0..21).for_each(|k| out[32 + k] = 0.2 * ((c[0] + c[1] * 3 + c[2] * 7 + k as i32) as f32).sin());
}

/// Distances of reduced meshes (PLY) from an original: `bench_mesh --distance ORIGINAL REDUCED...`.
fn compare(files: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let open = |f: &String| -> Result<TriangleMesh, Box<dyn std::error::Error>> {
        Ok(mesh_ply::read(&std::fs::read(f)?, UpAxis::Z)?)
    };
    let Some((original, reduced)) = files.split_first() else { return Err("no files".into()) };
    let original = open(original)?;
    for f in reduced {
        let m = open(f)?;
        let d = mesh_distance(&original, &m)?;
        let ratio = m.volume() / original.volume();
        println!("{f}: {} faces, Hausdorff {:.5}, rms {:.6}, volume x {ratio:.5}", m.faces.len(), d.hausdorff, d.rms);
    }
    Ok(())
}

/// A bumpy torus of 20,000 faces with holes of many sizes, filled; the open mesh is written for others to fill.
fn holes(file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut mesh = shapes::torus(125, 80, 0.3, 0.12);
    mesh.positions.iter_mut().for_each(|p| {
        let s = 1.0 + 0.02 * (31.0 * p[0]).sin() * (29.0 * p[1]).cos() * (37.0 * p[2]).sin();
        *p = p.map(|x| x * s);
    });
    let whole = mesh.clone();
    // Balls of growing size around every 400th corner.
    let centres: Vec<([f32; 3], f32)> =
        mesh.positions.iter().step_by(400).enumerate().map(|(n, p)| (*p, 0.01 + 0.001 * n as f32)).collect();
    let inside = |p: [f32; 3]| centres.iter().any(|(c, r)| (0..3).map(|k| (p[k] - c[k]).powi(2)).sum::<f32>() < r * r);
    mesh.faces.retain(|f| !f.iter().any(|v| inside(whole.positions[*v as usize])));
    let (mesh, _) = clean(&mesh)?;
    std::fs::write(file, mesh_ply::write(&mesh, UpAxis::Z)?)?;
    let (filled, count) = timed("fill holes", || fill_holes(&mesh, &HoleOptions { max_edges: 250, refine: true }))?;
    std::fs::write(format!("{file}.ours.ply"), mesh_ply::write(&filled, UpAxis::Z)?)?;
    let report = health(&filled, &HealthContext::default())?;
    println!(
        "{} faces, {count} holes filled, {} faces then, {} open edges",
        mesh.faces.len(),
        filled.faces.len(),
        report.boundary_edges
    );
    let (volume, distance) = (filled.volume() / whole.volume(), mesh_distance(&whole, &filled)?);
    println!("volume x {volume:.5}, Hausdorff {:.5}, rms {:.6}", distance.hausdorff, distance.rms);
    std::fs::write(format!("{file}.whole.ply"), mesh_ply::write(&whole, UpAxis::Z)?)?;
    Ok(())
}

/// Two million faces down to twenty thousand.
fn large() -> Result<(), Box<dyn std::error::Error>> {
    let mesh = shapes::sphere(1001, 1000, 0.5);
    println!("{} faces", mesh.faces.len());
    let small = timed("decimate 2 M to 20,000", || decimate(&mesh, &DecimateOptions::to_faces(20_000)))?;
    println!("    {} faces, volume x {:.5}", small.faces.len(), small.volume() / mesh.volume());
    timed("health of 2 M", || health(&mesh, &HealthContext::default()))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--distance") => return compare(&arguments[1..]),
        Some("--large") => return large(),
        Some("--holes") => return holes(arguments.get(1).ok_or("--holes FILE.ply")?),
        _ => {}
    }
    let coords = coordinates(20_000);
    println!("{} fine voxels", coords.len());
    let mut extractor = SparseExtractor::new(256)?;
    let mut pushing = 0.0;
    // Rows are made piece by piece, as they come from the decoder; only taking them in is timed.
    for piece in coords.chunks(65_536) {
        let mut rows = vec![0.0; piece.len() * ROW];
        piece.iter().zip(rows.chunks_mut(ROW)).for_each(|(c, r)| row(*c, r));
        let start = clock();
        extractor.push(piece, &rows)?;
        pushing += (clock() - start) * 1e3;
    }
    println!("{:34} {pushing:8.1} ms", "extraction: corner sums");
    let extracted = timed("extraction: surface", || extractor.finish());
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_string();
    println!("peak memory after extraction: {peak}");
    let mesh = extracted.into_triangle_mesh();
    println!("{} faces, {} vertices", mesh.faces.len(), mesh.positions.len());
    if let Some(path) = arguments.first() {
        std::fs::write(path, mesh_ply::write(&mesh, UpAxis::Z)?)?;
    }
    let (mesh, report) = timed("clean", || clean(&mesh))?;
    println!("    {report:?}");
    let small = timed("decimate to 20,000", || decimate(&mesh, &DecimateOptions::to_faces(20_000)))?;
    println!("    {} faces, volume {:.5} of {:.5}", small.faces.len(), small.volume(), mesh.volume());
    let distance = timed("distance (both directions)", || mesh_distance(&mesh, &small))?;
    println!("    Hausdorff {:.5}, rms {:.6}", distance.hausdorff, distance.rms);
    let (small, filled) = timed("fill holes", || fill_holes(&small, &HoleOptions::for_reduction(0.95)))?;
    println!("    {filled} holes");
    let options = AtlasOptions::for_size(1024);
    let boxed = timed("unwrap: box projection", || BoxUnwrapper.unwrap(&small, &options, &|_| true))?;
    println!("    {} charts", boxed.charts);
    let charted = timed("unwrap: charts", || ChartUnwrapper::default().unwrap(&small, &options, &|_| true))?;
    println!("    {} charts", charted.charts);
    let dense = timed("unwrap: charts, dense", || ChartUnwrapper { dense: true }.unwrap(&small, &options, &|_| true))?;
    let context = HealthContext { texture_size: Some(1024), ..HealthContext::default() };
    for (name, m) in [("box", &boxed.mesh), ("charts", &charted.mesh), ("dense", &dense.mesh)] {
        let h = health(m, &context)?;
        println!("    {name}: coverage {:?}, density {:?}", h.atlas_coverage, h.texel_density);
    }
    let mesh = charted.mesh;
    timed("visibility, 20 views at 1024²", || face_visibility(&mesh, 20, 1024, &|_| true))?;
    let camera = OrbitCamera::hammersley(37, 100);
    let matrix = multiply(&camera.projection_gl(0.1, 10.0), &camera.view_gl());
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
    let faces = timed("rasterise 20,000 faces at 1024²", || rasterize(&clip, &mesh.faces, [1024; 2]))?;
    println!("    {} faces visible", visible_faces(&faces, mesh.faces.len()).iter().filter(|v| **v).count());
    let map = timed("texel map 1024²", || TexelMap::new(&mesh, 1024))?;
    let image: Vec<[f32; 3]> = faces.id.iter().map(|id| [*id as f32 % 7.0 / 7.0; 3]).collect();
    let mask: Vec<bool> = faces.id.iter().map(|id| *id > 0).collect();
    let eye = camera.eye().map(|x| x as f32);
    let view = ProjectionView { clip_from_world: matrix, eye, image: &image, mask: &mask, faces: &faces };
    let mut baked = timed("back-project one view", || back_project(&mesh, &map, &[view]))?;
    timed("dilate 1024²", || dilate(&mut baked.texture, &baked.seen, 4));
    let texture = baked.texture.to_bytes();
    let plain = timed("write GLB (PNG)", || glb::write(&mesh, Some(&texture), &GlbOptions::default()))?;
    let packed = GlbOptions { quantize: true, meshopt: true, ..GlbOptions::default() };
    let packed = timed("write GLB (quantised, meshopt)", || glb::write(&mesh, Some(&texture), &packed))?;
    println!("    {} and {} bytes", plain.len(), packed.len());
    timed("read GLB", || glb::read(&packed))?;
    Ok(())
}

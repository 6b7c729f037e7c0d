//! Extraction against its definition on the host.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::f16;
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
use maquette_kernels::{DecodedRows, Error, Linear, Voxels, flexicubes::extract};
use maquette_mesh::flexicubes::{ExtractedMesh, ROW, SparseExtractor};
use pollster::block_on;

use crate::support::{Random, devices};

/// A set of cubes with random rows: `smooth` is the share of a common distance field in the noise.
fn field(random: &mut Random, res: usize, density: f64, smooth: f64) -> (Vec<[i32; 4]>, Vec<f32>) {
    let (mut coords, mut features) = (Vec::new(), Vec::new());
    for i in 0..res.pow(3) {
        if random.normal().abs() > density {
            continue;
        }
        let p = [i / (res * res), i / res % res, i % res];
        coords.push([0, p[0] as i32, p[1] as i32, p[2] as i32]);
        let row = features.len();
        features.extend((0..ROW).map(|_| random.normal() as f32));
        for m in 0..8 {
            let corner = [p[0] + (m & 1), p[1] + (m >> 1 & 1), p[2] + (m >> 2 & 1)];
            let from_centre = corner.map(|x| (x as f64 / res as f64 - 0.5).powi(2)).iter().sum::<f64>().sqrt() - 0.4;
            let noisy = f64::from(features[row + m]) * (1.0 - smooth);
            features[row + m] = (smooth * 4.0 * from_centre + noisy) as f32;
        }
    }
    // Rows in no order: sums depend on it.
    for i in (1..coords.len()).rev() {
        let j = random.below(i + 1);
        coords.swap(i, j);
        for k in 0..ROW {
            features.swap(i * ROW + k, j * ROW + k);
        }
    }
    (coords, features)
}

fn defined(coords: &[[i32; 4]], features: &[f32], res: usize) -> ExtractedMesh {
    let mut extractor = SparseExtractor::new(res).expect("a valid resolution");
    let coords: Vec<[i32; 3]> = coords.iter().map(|c| [c[1], c[2], c[3]]).collect();
    extractor.push(&coords, features).expect("valid rows");
    extractor.finish()
}

fn farthest<const K: usize>(a: &[[f32; K]], b: &[[f32; K]]) -> f32 {
    let differences = a.as_flattened().iter().zip(b.as_flattened()).map(|(a, b)| (a - b).abs());
    // A NaN must not pass for a small difference.
    differences.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

/// Extracts both ways and asserts that it is the same. Returns the number of faces.
fn compare(
    name: &str,
    device: &Device,
    dtype: DType,
    res: usize,
    coords: Vec<[i32; 4]>,
    mut features: Vec<f32>,
) -> usize {
    if dtype == DType::F16 {
        features.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
    }
    let expected = defined(&coords, &features, res);
    let voxels = Voxels::new(coords).expect("distinct voxels");
    let data = TensorData::new(features, [voxels.len(), ROW]);
    let rows = DecodedRows::from(Tensor::<2>::from_data(data, (device, dtype)));
    let found = block_on(extract(&voxels, &rows, res)).expect("valid").expect("a device");
    let case = format!("{name}, {res}³, {} voxels, {} faces", voxels.len(), expected.faces.len());
    assert_eq!(found.vertices.len(), expected.vertices.len(), "{case}");
    let differing = found.faces.iter().zip(&expected.faces).position(|(a, b)| a != b);
    assert_eq!((found.faces.len(), differing), (expected.faces.len(), None), "{case}");
    let (vertices, attrs) = (farthest(&found.vertices, &expected.vertices), farthest(&found.attrs, &expected.attrs));
    assert!(vertices <= 1e-6 && attrs <= 5e-6, "{case}: vertices {vertices:e}, attributes {attrs:e}");
    expected.faces.len()
}

/// Runs have 65,536 rows.
#[test]
fn rows_in_several_runs_give_the_same_surface() {
    let Some((name, device, _)) = devices().into_iter().find(|(name, _, half)| *name != "cpu" && *half) else { return };
    let (coords, features) = field(&mut Random(6), 54, 9.0, 0.98);
    assert!(coords.len() > 150_000);
    assert!(compare(name, &device, DType::F16, 54, coords, features) > 10_000);
}

#[test]
fn the_surface_does_not_depend_on_how_many_rows_are_made_at_once() {
    let mut random = Random(7);
    for (name, device, half) in devices() {
        if name == "cpu" {
            continue;
        }
        let (coords, features) = field(&mut random, 15, 1.2, 0.9);
        let voxels = Voxels::new(coords).expect("distinct voxels");
        // A last layer that takes seven channels more, mixed in a little.
        let width = ROW + 7;
        let hidden: Vec<f32> =
            features.chunks(ROW).flat_map(|row| row.iter().copied().chain((0..7).map(|k| row[k] * 0.5))).collect();
        let weight = (0..ROW * width).map(|i| match (i / width, i % width) {
            (row, column) if row == column => 1.0,
            (_, column) if column >= ROW => 0.01 * random.normal() as f32,
            _ => 0.0,
        });
        let head = Linear {
            weight: Tensor::from_data(TensorData::new(weight.collect::<Vec<f32>>(), [ROW, width]), &device),
            bias: Some(Tensor::from_data(TensorData::new(vec![0.01f32; ROW], [ROW]), &device)),
        };
        for dtype in [DType::F32, DType::F16] {
            if dtype == DType::F16 && !half {
                continue;
            }
            let data = TensorData::new(hidden.clone(), [voxels.len(), width]);
            let rows = DecodedRows::new(Tensor::from_data(data, (&device, dtype)), head.clone());
            let surface = |rows: DecodedRows| block_on(extract(&voxels, &rows, 15)).expect("valid").expect("a device");
            let whole = surface(rows.clone());
            assert!(whole.faces.len() > 300, "{} faces on {name}", whole.faces.len());
            for at_once in [64, 1000] {
                let found = surface(rows.clone().in_runs_of(at_once));
                let case = format!("{at_once} of {} rows at once on {name}, {dtype:?}", voxels.len());
                assert!(found.faces == whole.faces, "{case}: faces");
                assert!(found.vertices == whole.vertices && found.attrs == whole.attrs, "{case}: vertices");
            }
        }
    }
}

#[test]
fn the_devices_surface_has_the_definitions_faces_in_its_order_and_its_vertices() {
    let mut random = Random(5);
    let cases =
        [(1, 9.0, 0.0), (2, 9.0, 0.0), (3, 1.0, 0.0), (4, 9.0, 0.0), (5, 0.5, 0.0), (7, 0.3, 0.0), (8, 9.0, 0.9)]
            .into_iter()
            .chain([(11, 0.05, 0.0), (13, 0.8, 0.5), (16, 9.0, 0.95), (17, 0.4, 0.0), (19, 2.0, 0.9), (23, 9.0, 0.98)]);
    for (name, device, _) in devices() {
        if name == "cpu" {
            continue;
        }
        let mut faces = 0;
        for (res, density, smooth) in cases.clone() {
            let (coords, features) = field(&mut random, res, density, smooth);
            faces += compare(name, &device, DType::F32, res, coords, features);
        }
        assert!(faces > 20_000, "{faces} faces compared on {name}");
    }
}

#[test]
fn rows_without_colour_are_grey_and_bad_fields_are_refused() {
    for (name, device, _) in devices() {
        let voxels = Voxels::new(vec![[0, 1, 1, 1]]).expect("one voxel");
        let features =
            |rows: usize, width: usize| DecodedRows::from(Tensor::<2>::zeros([rows, width], (&device, DType::F32)));
        let mesh = block_on(extract(&voxels, &features(1, 53), 4)).expect("valid");
        assert_eq!(mesh.is_none(), name == "cpu");
        if let Some(mesh) = mesh {
            // Distances are 0 less the bias: a box around the voxel, but no quad has four cubes inside the grid's border.
            assert!(mesh.attrs.iter().flatten().all(|a| (a - 0.5).abs() < 1e-6), "{name}");
            assert!(!mesh.faces.is_empty());
        }
        let refused = |voxels: &Voxels, rows: DecodedRows, res: usize| {
            block_on(extract(voxels, &rows, res)).expect_err("must be refused")
        };
        assert!(matches!(refused(&voxels, features(2, 53), 4), Error::Lengths { .. }));
        assert!(matches!(refused(&voxels, features(1, 54), 4), Error::Lengths { .. }));
        assert!(matches!(refused(&voxels, features(1, 53), 0), Error::OutOfRange { .. }));
        assert!(matches!(refused(&voxels, features(1, 53), 1025), Error::OutOfRange { .. }));
        assert!(matches!(refused(&voxels, features(1, 53), 1), Error::OutOfRange { .. }));
        let two = Voxels::new(vec![[0, 0, 0, 0], [1, 0, 0, 0]]).expect("two voxels");
        assert!(matches!(refused(&two, features(2, 53), 4), Error::OutOfRange { .. }));
    }
}

/// Latent voxels of an object, and the most bytes that its surface may take, the rows included.
const LATENT: usize = 20_000;
const LIMIT: u64 = 400_000_000;
/// Channels before the last layer: as many as fit one buffer of every device in f16.
const HIDDEN: usize = 52;

/// The most that the runtime keeps from the driver while `work` goes on.
fn most_reserved<R>(gpu: &Gpu, work: impl FnOnce() -> R) -> (R, u64) {
    let reserved = || gpu.memory().expect("a device").reserved;
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut most = reserved();
            while stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                most = most.max(reserved());
            }
            most
        });
        let result = work();
        let after = reserved();
        drop(stop);
        (result, watch.join().expect("a thread that only looks").max(after))
    })
}

#[test]
fn a_full_size_surface_with_colours_takes_less_than_400_megabytes_with_its_rows() {
    surface_takes(DType::F16, LATENT, LIMIT);
}

/// The decoder's output of half as many voxels is as large as f16's of all, which is the most that a software adapter's buffer holds; the
/// runtime's pages are as large, and no page may be taken.
#[test]
fn half_a_surface_of_f32_takes_less_than_200_megabytes_with_its_rows() {
    surface_takes(DType::F32, LATENT / 2, LIMIT / 2);
}

fn surface_takes(dtype: DType, latent_voxels: usize, limit: u64) {
    let Ok(gpu) = block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) else { return };
    if dtype == DType::F16 && !gpu.capabilities().f16 {
        return;
    }
    let distance = |p: [f32; 3]| (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt() - 0.38;
    let latent = (0..64i32.pow(3)).map(|i| [i / 4096, i / 64 % 64, i % 64]);
    let near = latent.filter(|c| distance(c.map(|x| (x as f32 + 0.5) / 64.0 - 0.5)).abs() < 0.03);
    let coords: Vec<[i32; 4]> = near
        .take(latent_voxels)
        .flat_map(|c| (0..64).map(move |k| [0, c[0] * 4 + k / 16, c[1] * 4 + k / 4 % 4, c[2] * 4 + k % 4]))
        .collect();
    let voxels = Voxels::new(coords).expect("distinct voxels");
    assert_eq!(voxels.len(), 64 * latent_voxels);
    let mut hidden = vec![f16::ZERO; voxels.len() * HIDDEN];
    for (c, row) in voxels.coords().iter().zip(hidden.chunks_mut(HIDDEN)) {
        for (m, value) in row[..8].iter_mut().enumerate() {
            let corner = [c[1] + (m as i32 & 1), c[2] + (m as i32 >> 1 & 1), c[3] + (m as i32 >> 2 & 1)];
            *value = f16::from_f32(distance(corner.map(|x| x as f32 / 256.0 - 0.5)) + 1.0 / 256.0);
        }
    }
    // Distances pass through the last layer, and their sum is a little of everything else.
    let weight = (0..ROW * HIDDEN).map(|i| match (i / HIDDEN, i % HIDDEN) {
        (row, column) if row < 8 => f32::from(row == column),
        (_, column) => {
            if column < 8 {
                0.01
            } else {
                0.0
            }
        }
    });
    let head = Linear {
        weight: Tensor::from_data(TensorData::new(weight.collect::<Vec<f32>>(), [ROW, HIDDEN]), gpu.device()),
        bias: None,
    };
    let data = TensorData::new(hidden, [voxels.len(), HIDDEN]);
    let rows = DecodedRows::new(Tensor::from_data(data, (gpu.device(), dtype)), head);
    block_on(gpu.finish()).expect("a device");
    let before = gpu.memory().expect("a device").reserved;
    let (mesh, most) = most_reserved(&gpu, || block_on(extract(&voxels, &rows, 256)));
    let (mesh, taken) = (mesh.expect("valid").expect("a device"), most - before);
    let left = gpu.memory().expect("a device").reserved - before;
    let [most, left] = [taken, left].map(|bytes| bytes as f64 * 1e-6);
    println!("{dtype:?}: {} faces, {most:.0} MB besides the decoder's output, {left:.0} kept", mesh.faces.len());
    assert!(mesh.faces.len() > 10 * latent_voxels, "{} faces", mesh.faces.len());
    assert!(taken <= limit, "{taken} bytes");
}

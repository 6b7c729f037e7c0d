//! The surface of a decoded field of full size, on the device and by the definition.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor, TensorData};
use half::f16;
use maquette::Gpu;
use maquette::maquette_mesh::flexicubes::{ExtractedMesh, ROW, SparseExtractor};
use maquette_kernels::{DecodedRows, Linear, Voxels, flexicubes::extract};
use pollster::block_on;

use crate::{Arguments, Failure};

/// Cubes along an edge of the fine grid, and of the latent one.
const RES: i32 = 256;
const LATENT: i32 = 64;
/// Channels before the decoder's last layer.
const HIDDEN: usize = 96;

/// Signed distance to a bumpy ring.
fn distance(p: [f32; 3]) -> f32 {
    let ring = (p[0] * p[0] + p[1] * p[1]).sqrt() - 0.28;
    let bump = 0.012 * (40.0 * p[0]).sin() * (37.0 * p[1]).sin() * (43.0 * p[2]).sin();
    (ring * ring + p[2] * p[2]).sqrt() - 0.15 + bump
}

/// The fine voxels of latent voxels near the surface.
fn coordinates(most: usize) -> Vec<[i32; 4]> {
    let latent = (0..LATENT.pow(3)).map(|i| [i / (LATENT * LATENT), i / LATENT % LATENT, i % LATENT]);
    let near = |c: &[i32; 3]| distance(c.map(|x| (x as f32 + 0.5) / LATENT as f32 - 0.5)).abs() < 0.03;
    let fine = |c: [i32; 3]| (0..64).map(move |k| [0, c[0] * 4 + k / 16, c[1] * 4 + k / 4 % 4, c[2] * 4 + k % 4]);
    latent.filter(near).take(most).flat_map(fine).collect()
}

/// Where a row's value is in the decoder's output; normals are nowhere.
fn channel(value: usize) -> Option<usize> {
    match value {
        0..53 => Some(value),
        _ if (value - 53) % 6 < 3 => Some(53 + (value - 53) / 6 * 3 + (value - 53) % 6),
        _ => None,
    }
}

/// The decoder's output before its last layer, which only moves values here: it is the same in f16 and in f32.
fn hidden(coords: &[[i32; 4]]) -> Vec<f16> {
    let mut hidden = vec![f16::ZERO; coords.len() * HIDDEN];
    for (c, out) in coords.iter().zip(hidden.chunks_exact_mut(HIDDEN)) {
        for m in 0..8 {
            let corner = [c[1] + (m & 1), c[2] + (m >> 1 & 1), c[3] + (m >> 2 & 1)];
            let p = corner.map(|x| x as f32 / RES as f32 - 0.5);
            let m = m as usize;
            out[m] = f16::from_f32(distance(p) + 1.0 / RES as f32);
            for k in 0..3 {
                out[8 + 3 * m + k] = f16::from_f32(0.3 * (50.0 * p[k]).sin());
                out[53 + 3 * m + k] = f16::from_f32(4.0 * p[k]);
            }
        }
        let phase = (c[1] + c[2] * 3 + c[3] * 7) as f32;
        (0..21).for_each(|k| out[32 + k] = f16::from_f32(0.2 * (phase + k as f32).sin()));
    }
    hidden
}

/// Extracts several times and prints times, memory and what differs.
pub fn run(gpu: &Gpu, arguments: &Arguments) -> Result<(), Failure> {
    let coords = coordinates(arguments.count("latent", 20_000)?);
    let hidden = hidden(&coords);
    let begun = Instant::now();
    let mut extractor = SparseExtractor::new(RES as usize)?;
    for (coords, hidden) in coords.chunks(1 << 16).zip(hidden.chunks(HIDDEN << 16)) {
        let value = |row: &[f16], value| channel(value).map_or(0.0, |at| row[at].to_f32());
        let rows: Vec<f32> = hidden.chunks_exact(HIDDEN).flat_map(|row| (0..ROW).map(move |k| value(row, k))).collect();
        let fine: Vec<[i32; 3]> = coords.iter().map(|c| [c[1], c[2], c[3]]).collect();
        extractor.push(&fine, &rows)?;
    }
    let defined = extractor.finish();
    println!(
        "{} latent voxels, {} fine ones, {} faces; the definition on one core {:.3} s",
        coords.len() / 64,
        coords.len(),
        defined.faces.len(),
        begun.elapsed().as_secs_f64()
    );
    let voxels = Voxels::new(coords)?;
    let dtype =
        if arguments.count("half", usize::from(gpu.capabilities().f16))? == 1 { DType::F16 } else { DType::F32 };
    let moved = (0..ROW * HIDDEN).map(|i| f32::from(channel(i / HIDDEN) == Some(i % HIDDEN))).collect::<Vec<f32>>();
    let head = Linear {
        weight: Tensor::from_data(TensorData::new(moved, [ROW, HIDDEN]), (gpu.device(), DType::F32)),
        bias: None,
    };
    let hidden = Tensor::from_data(TensorData::new(hidden, [voxels.len(), HIDDEN]), (gpu.device(), dtype));
    let rows = DecodedRows::new(hidden, head);
    block_on(gpu.finish())?;
    let before = gpu.memory()?.reserved;
    let mut most = before;
    for run in 0..arguments.count("runs", 4)? {
        let begun = Instant::now();
        let (found, reserved) = most_reserved(gpu, || block_on(extract(&voxels, &rows, RES as usize)));
        most = most.max(reserved);
        let Some(found) = found? else {
            println!("the CPU tier extracts by the definition only");
            return Ok(());
        };
        println!("  run {run}: {:.3} s, read back included", begun.elapsed().as_secs_f64());
        if run == 0 {
            compare(&found, &defined);
        }
    }
    let [most, kept] = [most, gpu.memory()?.reserved].map(|bytes| bytes.saturating_sub(before) as f64 * 1e-6);
    println!("  memory besides the decoder's output in {dtype:?}, its rows included: {most:.0} MB, {kept:.0} MB kept");
    Ok(())
}

/// The most that the runtime keeps from the driver while `work` goes on.
fn most_reserved<R>(gpu: &Gpu, work: impl FnOnce() -> R) -> (R, u64) {
    let reserved = || gpu.memory().map_or(0, |memory| memory.reserved);
    let (stop, stopped) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut most = 0;
            while stopped.recv_timeout(Duration::from_micros(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
                most = most.max(reserved());
            }
            most
        });
        let result = work();
        let after = reserved();
        drop(stop);
        (result, watch.join().unwrap_or(0).max(after))
    })
}

fn compare(found: &ExtractedMesh, defined: &ExtractedMesh) {
    let farthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!(
        "  faces identical: {}; vertices differ by at most {:.1e}, attributes by {:.1e}",
        found.faces == defined.faces && found.vertices.len() == defined.vertices.len(),
        farthest(found.vertices.as_flattened(), defined.vertices.as_flattened()),
        farthest(found.attrs.as_flattened(), defined.attrs.as_flattened()),
    );
}

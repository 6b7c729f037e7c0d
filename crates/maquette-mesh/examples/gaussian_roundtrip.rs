//! For round trips through outside programs: `write FILE` makes a Gaussian PLY, `compare A B` holds two against each other.

use maquette_mesh::formats::gaussian_ply::{Frame, read, write};
use maquette_mesh::{GaussianActivation, Gaussians};

fn scene() -> Result<Gaussians, Box<dyn std::error::Error>> {
    let activation = GaussianActivation::default();
    let coords: Vec<[i32; 3]> = (0..200).map(|i| [i * 7 % 64, i * 13 % 64, i * 29 % 64]).collect();
    let raw: Vec<f32> = (0..200 * 448).map(|i| 2.0 * (i as f32 * 0.7311).sin()).collect();
    Ok(activation.activate(&coords, &raw, &activation.perturbation())?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", file] => std::fs::write(file, write(&scene()?, Frame::Reference)?)?,
        ["compare", a, b] => {
            let (a, b) = (read(&std::fs::read(a)?, Frame::Reference)?, read(&std::fs::read(b)?, Frame::Reference)?);
            if a.len() != b.len() {
                return Err(format!("{} against {} Gaussians", a.len(), b.len()).into());
            }
            let largest = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0f32, f32::max);
            let turn = |i: usize| 1.0 - (0..4).map(|k| a.quats[i][k] * b.quats[i][k]).sum::<f32>().abs();
            let differences = [
                largest(a.means.as_flattened(), b.means.as_flattened()),
                largest(a.scales.as_flattened(), b.scales.as_flattened()),
                largest(&a.opacities, &b.opacities),
                largest(a.f_dc.as_flattened(), b.f_dc.as_flattened()),
                (0..a.len()).map(turn).fold(0.0, f32::max),
            ];
            println!(
                "{} Gaussians; positions, scales, opacities, colours, rotations differ by {differences:?}",
                a.len()
            );
            if differences.iter().any(|d| d.is_nan() || *d > 1e-5) {
                return Err("the files differ".into());
            }
        }
        _ => return Err("usage: gaussian_roundtrip write FILE | compare A B".into()),
    }
    Ok(())
}

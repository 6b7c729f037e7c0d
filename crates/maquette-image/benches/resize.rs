//! Resizing against Pillow, both in one run and in turns: `MAQUETTE_PILLOW_PYTHON=python3 cargo bench -p maquette-image` (a Python that has
//! Pillow; without it only our side is timed). Prints the fastest time of each side and Pillow's time over ours, and fails if a single byte
//! differs.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use maquette_image::{Raster, resize_lanczos};

/// Turns that each side takes.
const ROUNDS: usize = 6;

struct Pillow {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pillow {
    fn start() -> Option<Self> {
        let python = std::env::var_os("MAQUETTE_PILLOW_PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pillow.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut pillow = Self { child, input, output };
        println!("Pillow {}", pillow.line());
        Some(pillow)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }

    fn resize<const C: usize>(&mut self, source: &Raster<C>, width: u32, height: u32) -> Vec<u8> {
        let mode = ["L", "LA", "RGB", "RGBA"][C - 1];
        writeln!(self.input, "picture {mode} {} {} {width} {height}", source.width(), source.height())
            .expect("written");
        self.input.write_all(source.data()).and_then(|()| self.input.flush()).expect("written");
        let mut out = vec![0; width as usize * height as usize * C];
        self.output.read_exact(&mut out).expect("an answer");
        out
    }

    fn fastest_ms(&mut self, times: usize) -> f64 {
        writeln!(self.input, "time {times}").and_then(|()| self.input.flush()).expect("written");
        self.line().parse::<f64>().expect("nanoseconds") * 1e-6
    }
}

fn case<const C: usize>(pillow: &mut Option<Pillow>, from: (u32, u32), to: (u32, u32)) -> Option<f64> {
    let mut state = 0x2545_F491u32;
    let data = (0..from.0 as usize * from.1 as usize * C)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // soft slopes with noise on them, like a photograph
            ((i / 97) as u8).wrapping_add((state >> 28) as u8)
        })
        .collect();
    let source = Raster::<C>::new(from.0, from.1, data).expect("a picture");
    let ours = resize_lanczos(&source, to.0, to.1).expect("resized");
    if let Some(pillow) = pillow {
        assert!(pillow.resize(&source, to.0, to.1) == ours.data(), "bytes differ from Pillow's");
    }
    let times = (40_000_000 / (source.data().len() + ours.data().len())).clamp(2, 40);
    let (mut our_ms, mut their_ms) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        for _ in 0..times {
            let begin = Instant::now();
            std::hint::black_box(resize_lanczos(std::hint::black_box(&source), to.0, to.1).expect("resized"));
            our_ms = our_ms.min(begin.elapsed().as_secs_f64() * 1e3);
        }
        if let Some(pillow) = pillow {
            their_ms = their_ms.min(pillow.fastest_ms(times));
        }
    }
    let name = format!("{C} channels, {}x{} -> {}x{}", from.0, from.1, to.0, to.1);
    if pillow.is_some() {
        println!("{name:44} {our_ms:9.3} ms   Pillow {their_ms:9.3} ms   {:5.2}x", their_ms / our_ms);
        return Some(their_ms / our_ms);
    }
    println!("{name:44} {our_ms:9.3} ms");
    None
}

fn main() {
    let mut pillow = Pillow::start();
    let p = &mut pillow;
    let ratios: Vec<f64> = [
        case::<3>(p, (4000, 3000), (1024, 768)),
        case::<3>(p, (1920, 1080), (1024, 576)),
        case::<3>(p, (1024, 768), (320, 320)),
        case::<3>(p, (512, 512), (518, 518)),
        case::<3>(p, (200, 200), (518, 518)),
        case::<1>(p, (320, 320), (1024, 768)),
        case::<1>(p, (3000, 2000), (320, 320)),
        case::<4>(p, (3000, 3000), (518, 518)),
        case::<4>(p, (1000, 1000), (518, 518)),
        case::<4>(p, (300, 300), (518, 518)),
        case::<4>(p, (4096, 4096), (512, 512)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(mut pillow) = pillow {
        let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        println!("every byte equal; Pillow's time over ours: geometric mean {mean:.2}x, least {least:.2}x");
        drop(pillow.input);
        pillow.child.wait().expect("python ends");
    }
}

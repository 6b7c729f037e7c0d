//! Load and convert throughput: `cargo bench -p maquette-weights`. With `python3` and its `safetensors` and `numpy` at hand, the
//! same file is loaded there too. `MAQUETTE_BENCH_FILE` names a file to use instead of the generated one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use maquette_weights::manifest::Manifest;
use maquette_weights::{Checkpoint, Precision, convert_file, synthesize};

/// What Python does: every tensor as an array of its own, from the file to memory.
const PYTHON: &str = "
import sys, time
from safetensors.numpy import load_file
wall = cpu = 1e9
for _ in range(5):
    start, used = time.perf_counter(), time.process_time(); tensors = load_file(sys.argv[1])
    wall = min(wall, time.perf_counter() - start); cpu = min(cpu, time.process_time() - used)
    size = sum(t.nbytes for t in tensors.values()); del tensors
print(size / 1e6 / wall, size / 1e6 / cpu)
";

/// MB a second of wall time and of processor time, best of five. On a busy machine the second is the one to compare.
#[derive(Clone, Copy)]
struct Speed {
    wall: f64,
    cpu: f64,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.0} MB/s, {:6.0} MB per CPU second", self.wall, self.cpu)
    }
}

/// Processor time of this process in seconds (user and system); NaN where the system does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |n: usize| stat.rsplit(") ").next()?.split(' ').nth(n)?.parse::<f64>().ok();
    // Fields 14 and 15 of the line, counted after the name; a hundred ticks a second.
    ticks(11).zip(ticks(12)).map_or(f64::NAN, |(user, system)| (user + system) / 100.0)
}

fn throughput(bytes: u64, mut run: impl FnMut()) -> Speed {
    let (mut wall, mut cpu) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let (start, used) = (Instant::now(), cpu_seconds());
        run();
        wall = wall.min(start.elapsed().as_secs_f64());
        cpu = cpu.min((cpu_seconds() - used).max(0.005));
    }
    Speed { wall: bytes as f64 / 1e6 / wall, cpu: bytes as f64 / 1e6 / cpu }
}

fn peak_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |l| l.trim().to_owned())
}

fn python(path: &Path) -> Option<Speed> {
    let output = Command::new("python3").args(["-c", PYTHON]).arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(Speed { wall: numbers.next()?.ok()?, cpu: numbers.next()?.ok()? })
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = std::env::var_os("MAQUETTE_BENCH_FILE").map(PathBuf::from).unwrap_or_else(|| {
        let manifest = Manifest::named("trellis/slat_dec_gs_swin8_B_64l8gs32_fp16").expect("a carried manifest");
        let stem = dir.path().join("gs");
        synthesize::checkpoint(&manifest, &stem, 0, &mut |_| {}).expect("room for 171 MB");
        stem.with_extension("safetensors")
    });
    let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
    let bytes: u64 = checkpoint.infos().map(|i| checkpoint.stored_bytes(&i.name)).sum();
    println!("{}: {} tensors, {:.0} MB", path.display(), checkpoint.names().len(), bytes as f64 / 1e6);
    let walk = |read: &dyn Fn(&Checkpoint, &str)| {
        let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        checkpoint.names().into_iter().for_each(|n| read(&checkpoint, n));
    };
    let copied = throughput(bytes, || {
        // Everything kept until the end, as Python's dictionary does.
        let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        let all: Vec<Vec<u8>> =
            checkpoint.names().into_iter().map(|n| checkpoint.tensor(n).expect("a tensor").bytes().to_vec()).collect();
        std::hint::black_box(all);
    });
    println!("load, every tensor copied out:  {copied}");
    match python(&path) {
        Some(theirs) => {
            println!("load, safetensors in Python:    {theirs}");
            println!(
                "ours to theirs:                 {:.2} by wall time, {:.2} by processor time",
                copied.wall / theirs.wall,
                copied.cpu / theirs.cpu
            );
        }
        None => println!("load, safetensors in Python:    not installed here"),
    }
    let touched = throughput(bytes, || {
        walk(&|c, n| {
            let view = c.tensor(n).expect("a tensor");
            std::hint::black_box(view.bytes().iter().step_by(4096).fold(0u8, |a, b| a ^ b));
        });
    });
    println!("load, borrowed, pages touched:  {touched}");
    let widened = throughput(bytes, || {
        walk(&|c, n| {
            std::hint::black_box(c.tensor(n).expect("a tensor").to_f32());
        });
    });
    println!("load as f32:                    {widened}");
    for name in ["f32", "f16", "bf16", "q8", "q4"] {
        let precision = Precision::from_name(name).expect("a precision");
        let target = dir.path().join(format!("{name}.safetensors"));
        let speed =
            throughput(bytes, || convert_file(&checkpoint, &target, precision, &mut |_| {}).expect("a conversion"));
        println!("convert to {name:4}:                {speed}");
    }
    println!("peak resident memory:           {}", peak_mib());
}

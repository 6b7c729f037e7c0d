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
for _ in range(8):
    start, used = time.perf_counter(), time.process_time(); tensors = load_file(sys.argv[1])
    wall = min(wall, time.perf_counter() - start); cpu = min(cpu, time.process_time() - used)
    size = sum(t.nbytes for t in tensors.values()); del tensors
print(size / 1e6 / wall, size / 1e6 / cpu)
";

/// MB a second of wall time and of processor time, best of eight. On a busy machine the second is the one to compare.
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

/// Processor time of the main thread in seconds (user and system); NaN where the system does not tell.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns / 1e9)
}

/// What `run` hands out is dropped after the clock has stopped, as Python's `del` is.
fn throughput<T>(bytes: u64, mut run: impl FnMut() -> T) -> Speed {
    let (mut wall, mut cpu) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..8 {
        let (start, used) = (Instant::now(), cpu_seconds());
        let result = std::hint::black_box(run());
        wall = wall.min(start.elapsed().as_secs_f64());
        cpu = cpu.min(cpu_seconds() - used);
        drop(result);
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
        // Every tensor in memory of its own, all kept until the end, as Python's dictionary has them.
        let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        let copy = |n: &str| checkpoint.tensor(n).expect("a tensor").bytes().to_vec();
        checkpoint.names().into_iter().map(copy).collect::<Vec<Vec<u8>>>()
    });
    println!("load, every tensor copied out:  {copied}");
    let read = throughput(bytes, || Checkpoint::read(&path).expect("a checkpoint"));
    println!("load, whole file into memory:   {read}");
    match python(&path) {
        Some(theirs) => {
            println!("load, safetensors in Python:    {theirs}");
            for (what, ours) in [("copied out", copied), ("whole file", read)] {
                let (wall, cpu) = (ours.wall / theirs.wall, ours.cpu / theirs.cpu);
                println!("{what} to Python's:           {wall:.2} by wall time, {cpu:.2} by processor time");
            }
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

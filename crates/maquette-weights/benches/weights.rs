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
best = 1e9
for _ in range(5):
    start = time.perf_counter(); tensors = load_file(sys.argv[1]); best = min(best, time.perf_counter() - start)
    size = sum(t.nbytes for t in tensors.values()); del tensors
print(size / 1e6 / best)
";

/// Best of five, in MB/s.
fn throughput(bytes: u64, mut run: impl FnMut()) -> f64 {
    let time = (0..5).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    bytes as f64 / 1e6 / time.fold(f64::INFINITY, f64::min)
}

fn peak_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |l| l.trim().to_owned())
}

fn python(path: &Path) -> Option<f64> {
    let output = Command::new("python3").args(["-c", PYTHON]).arg(path).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
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
    println!("load, every tensor copied out:  {copied:.0} MB/s");
    match python(&path) {
        Some(theirs) => {
            println!("load, safetensors in Python:    {theirs:.0} MB/s, ours is {:.2} of it", copied / theirs)
        }
        None => println!("load, safetensors in Python:    not installed here"),
    }
    let touched = throughput(bytes, || {
        walk(&|c, n| {
            let view = c.tensor(n).expect("a tensor");
            std::hint::black_box(view.bytes().iter().step_by(4096).fold(0u8, |a, b| a ^ b));
        });
    });
    println!("load, borrowed, pages touched:  {touched:.0} MB/s");
    let widened = throughput(bytes, || {
        walk(&|c, n| {
            std::hint::black_box(c.tensor(n).expect("a tensor").to_f32());
        });
    });
    println!("load as f32:                    {widened:.0} MB/s");
    for name in ["f32", "f16", "bf16", "q8", "q4"] {
        let precision = Precision::from_name(name).expect("a precision");
        let target = dir.path().join(format!("{name}.safetensors"));
        let speed =
            throughput(bytes, || convert_file(&checkpoint, &target, precision, &mut |_| {}).expect("a conversion"));
        println!("convert to {name:4}:                {speed:.0} MB/s of input");
    }
    println!("peak resident memory:           {}", peak_mib());
}

//! Memory while a checkpoint larger than a gigabyte is read and converted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::io::Write;

use maquette_weights::{Checkpoint, Precision, convert_file};

/// KiB of this process under those headings of its memory map.
fn kib(headings: &[&str]) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let field = |name: &&str| {
        text.lines().find_map(|l| l.strip_prefix(*name)?.trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    headings.iter().map(|h| field(h).unwrap()).sum()
}

/// The most KiB of this process, mapped files included, that were ever resident at once.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Memory that only swapping could take back.
const DIRTY: [&str; 1] = ["Private_Dirty:"];

/// The same with clean file pages that no other process has mapped, which the system drops when it needs room.
const ALL: [&str; 2] = ["Private_Dirty:", "Private_Clean:"];

/// Reads every tensor; returns by how much the memory under the headings rose at most.
fn walk(path: &std::path::Path, headings: &[&str], release: bool) -> u64 {
    let before = kib(headings);
    let checkpoint = Checkpoint::open(path).unwrap();
    let (mut most, mut sum) = (0, 0.0);
    for (i, name) in checkpoint.names().into_iter().enumerate() {
        let view = checkpoint.tensor(name).unwrap();
        sum += view.bytes().iter().step_by(4096).map(|b| f64::from(*b)).sum::<f64>();
        if i % 20 == 0 {
            let values = view.to_f32();
            sum += f64::from(values[7]);
            most = most.max(kib(headings).saturating_sub(before));
        }
        if release {
            checkpoint.release(name);
        }
    }
    assert_eq!(sum, 0.0);
    most.max(kib(headings).saturating_sub(before))
}

/// Writes a checkpoint of that many f32 tensors of `rows` × 1000; the file has holes, so it takes no room on the disk.
fn large(path: &std::path::Path, tensors: u64, rows: u64) {
    let bytes = rows * 4000;
    let entry = |i: u64| {
        let (start, end) = (i * bytes, (i + 1) * bytes);
        format!(r#""t{i}":{{"dtype":"F32","shape":[{rows},1000],"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", (0..tensors).map(entry).collect::<Vec<_>>().join(","));
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + tensors * bytes).unwrap();
}

// One test, because the figures are those of the whole process.
#[test]
fn reading_and_converting_gigabytes_keeps_private_memory_small() {
    let dir = tempfile::tempdir().unwrap();
    // 1.2 GB in one tensor. First, because what comes later leaves a higher peak behind.
    let one = dir.path().join("one.safetensors");
    large(&one, 1, 300_000);
    let source = Checkpoint::open(&one).unwrap();
    let before = peak();
    convert_file(&source, &dir.path().join("q4.safetensors"), Precision::Q4 { group: 32 }, &mut |_| {}).unwrap();
    let rise = peak() - before;
    assert!(
        rise < 100 << 10,
        "the highest resident memory rose by {} MiB while one tensor of 1.2 GB was converted",
        rise >> 10
    );

    // 1.2 GB in 100 tensors of 12 MB.
    let path = dir.path().join("large.safetensors");
    large(&path, 100, 3000);
    let dirty = walk(&path, &DIRTY, false);
    assert!(dirty < 300 << 10, "private memory rose by {} MiB", dirty >> 10);
    let all = walk(&path, &ALL, true);
    assert!(all < 300 << 10, "with clean pages, and each tensor released after use, it rose by {} MiB", all >> 10);
}

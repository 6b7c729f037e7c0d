//! Private memory while a checkpoint larger than a gigabyte is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::io::Write;

use maquette_weights::Checkpoint;

/// KiB of this process under those headings of its memory map.
fn kib(headings: &[&str]) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let field = |name: &&str| {
        text.lines().find_map(|l| l.strip_prefix(*name)?.trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    headings.iter().map(|h| field(h).unwrap()).sum()
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

#[test]
fn walking_a_large_checkpoint_keeps_private_memory_small() {
    // 1.2 GB in 100 tensors of 12 MB; the file has holes, so it takes no room on the disk.
    const TENSORS: u64 = 100;
    const BYTES: u64 = 12_000_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.safetensors");
    let entry = |i: u64| {
        format!(r#""t{i}":{{"dtype":"F32","shape":[3000,1000],"data_offsets":[{},{}]}}"#, i * BYTES, (i + 1) * BYTES)
    };
    let header = format!("{{{}}}", (0..TENSORS).map(entry).collect::<Vec<_>>().join(","));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + TENSORS * BYTES).unwrap();
    let dirty = walk(&path, &DIRTY, false);
    assert!(dirty < 300 << 10, "private memory rose by {} MiB", dirty >> 10);
    let all = walk(&path, &ALL, true);
    assert!(all < 300 << 10, "with clean pages, and each tensor released after use, it rose by {} MiB", all >> 10);
}

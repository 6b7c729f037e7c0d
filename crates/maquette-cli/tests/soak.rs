//! Many runs in one process end with the memory of the first ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{goldens, maquette, run, stderr};
use serde_json::Value;
use tempfile::tempdir;

/// Memory after the tenth and after the last run of the tiny model's networks on a tier. Software adapters are too slow for it.
fn memory(tier: &str, runs: &str) -> (Value, Value) {
    let folder = tempdir().unwrap();
    let mut command = maquette(folder.path());
    command.args(["bench", "--tier", tier, "--steps", "1", "--networks-only", "--runs", runs, "--json", "--model"]);
    let output = run(command.arg(goldens().join("model")));
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["seconds"]["mesh"].as_f64().is_some() && report["seconds"]["bake"].is_null(), "{report}");
    (report["memory"]["settled"].clone(), report["memory"]["last"].clone())
}

/// What the process may have gained: the allocator scatters what it holds.
const SCATTER: u64 = 24 << 20;

fn assert_level(settled: &Value, last: &Value) {
    for kind in ["in_use", "allocations"] {
        assert_eq!(settled[kind], last[kind], "{kind}: {settled} then {last}");
    }
    for kind in ["reserved", "driver"] {
        assert!(last[kind].as_u64() <= settled[kind].as_u64(), "{kind}: {settled} then {last}");
    }
    if let (Some(before), Some(after)) = (settled["resident"].as_u64(), last["resident"].as_u64()) {
        assert!(after <= before + SCATTER, "{settled} then {last}");
    }
}

#[test]
fn runs_on_the_processor_end_with_the_memory_of_the_tenth() {
    let (settled, last) = memory("cpu", "30");
    assert_level(&settled, &last);
}

//! Every reference number that can be found, on the CPU tier.

use std::path::PathBuf;

use burn::tensor::Device;
use maquette::verify::{BuiltinGoldens, GoldenFiles, GoldenFolder, Report, Verdict, VerifyOptions, verify};
use maquette_models::Precision;

/// The full set if it is there, else the part of it that the repository carries.
fn goldens() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let full = std::env::var_os("MAQUETTE_GOLDENS").map_or_else(|| root.join("../shared/goldens"), PathBuf::from);
    let full = full.join("trellis");
    if full.join("cases").is_dir() { full } else { root.join("tests/goldens/trellis") }
}

fn run(files: &dyn GoldenFiles, precision: Precision, only: Option<&str>) -> Report {
    let options = VerifyOptions { device: Device::flex(), precision, only: only.map(str::to_owned) };
    let report = pollster::block_on(verify(files, &options, &mut |row| {
        println!(
            "{:28} {:28} {:>9} max {:9.2e} rel {:9.2e} {:?} {:?} {}",
            row.case,
            row.tensor,
            row.values,
            row.max_abs,
            row.relative,
            row.bound,
            row.verdict,
            row.note.as_deref().unwrap_or_default()
        );
    }));
    report.expect("the folder has cases")
}

fn assert_passed(report: &Report) {
    let wrong: Vec<String> = report
        .rows
        .iter()
        .filter(|row| row.verdict != Verdict::Pass)
        .map(|row| {
            format!("{} {} rel {:.2e} max {:.2e} {:?}", row.case, row.tensor, row.relative, row.max_abs, row.note)
        })
        .collect();
    assert!(wrong.is_empty() && report.passed(), "{wrong:#?}");
}

#[test]
fn the_definition_equals_the_reference_in_every_case() {
    assert_passed(&run(&GoldenFolder::new(goldens()), Precision::F32, None));
}

#[test]
fn half_precision_stays_close_to_the_definition() {
    assert_passed(&run(&GoldenFolder::new(goldens()), Precision::F16, None));
}

#[test]
fn the_builtin_set_needs_no_files_and_passes() {
    assert_passed(&run(&BuiltinGoldens, Precision::F32, None));
}

//! Every reference number that can be found, on the CPU tier.

use std::path::PathBuf;

use burn::tensor::Device;
use maquette::verify::{BuiltinGoldens, GoldenFiles, GoldenFolder, Report, Verdict, VerifyOptions, verify};
use maquette_gpu::{AdapterChoice, Gpu, GpuError, OpenOptions};
use maquette_models::Precision;

/// The full set if it is there, else the part of it that the repository carries.
fn goldens() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let full = std::env::var_os("MAQUETTE_GOLDENS").map_or_else(|| root.join("../shared/goldens"), PathBuf::from);
    let full = full.join("trellis");
    if full.join("cases").is_dir() { full } else { root.join("tests/goldens/trellis") }
}

fn run(files: &dyn GoldenFiles, device: Device, precision: Precision) -> Report {
    let options = VerifyOptions { device, precision, only: None, module_bound: None };
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
    assert_passed(&run(&GoldenFolder::new(goldens()), Device::flex(), Precision::F32));
}

#[test]
fn half_precision_stays_close_to_the_definition() {
    assert_passed(&run(&GoldenFolder::new(goldens()), Device::flex(), Precision::F16));
}

#[test]
fn the_builtin_set_needs_no_files_and_passes() {
    assert_passed(&run(&BuiltinGoldens, Device::flex(), Precision::F32));
}

/// Every scene of the rasterisers: the whole set if it is there, else the repository's part of it.
fn rasters() -> GoldenFolder {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let full = std::env::var_os("MAQUETTE_GOLDENS").map_or_else(|| root.join("../shared/goldens"), PathBuf::from);
    let full = full.join("raster");
    GoldenFolder::new(if full.is_dir() { full } else { root.join("tests/goldens/raster") })
}

#[test]
fn the_rasterisers_draw_what_the_reference_drew() {
    let report = run(&rasters(), Device::flex(), Precision::F32);
    assert_passed(&report);
    let of = |start: &str| report.rows.iter().filter(|row| row.tensor.starts_with(start)).count();
    assert!(of("definition: ") > 20 && of("kernels: ") > 15, "both ways run");
    if let Some(gpu) = adapter() {
        assert_passed(&run(&rasters(), gpu.device().clone(), Precision::F32));
    }
}

#[test]
fn a_folder_of_several_sets_runs_all_of_them() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    let options = VerifyOptions { device: Device::flex(), precision: Precision::F32, only: None, module_bound: None };
    let only = |part: &str| VerifyOptions { only: Some(part.to_owned()), ..options.clone() };
    for (part, case) in [("mesh_ties", "raster/mesh_ties"), ("timestep", "trellis/cases/timestep_embedding")] {
        let report =
            pollster::block_on(verify(&GoldenFolder::new(&root), &only(part), &mut |_| {})).expect("has cases");
        assert!(report.passed() && report.rows.iter().all(|row| row.case == case), "{:?}", report.rows);
    }
}

/// The machine's adapter, which may be a software one; none on a machine without a driver.
fn adapter() -> Option<Gpu> {
    match pollster::block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_adapter_computes_the_definition_in_every_case() {
    if let Some(gpu) = adapter() {
        println!("{}", gpu.capabilities().name);
        assert_passed(&run(&GoldenFolder::new(goldens()), gpu.device().clone(), Precision::F32));
    }
}

#[test]
fn the_adapter_stays_close_in_half_precision() {
    if let Some(gpu) = adapter().filter(|gpu| gpu.capabilities().f16) {
        assert_passed(&run(&GoldenFolder::new(goldens()), gpu.device().clone(), Precision::F16));
    }
}

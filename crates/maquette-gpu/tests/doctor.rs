//! The report on this very machine.

use maquette_gpu::{AdapterChoice, GpuError, OpenOptions, TierRequest, doctor};

#[test]
fn this_machine_gets_a_report_and_its_device_computes() {
    let report = pollster::block_on(doctor(&AdapterChoice::default(), OpenOptions::default()));
    println!("{report}");
    match (&report.trial, report.adapters.is_empty()) {
        (Ok(trial), false) => assert_eq!(trial.capabilities.tier, trial.capabilities.best_tier),
        (Err(GpuError::NoAdapter { .. }), true) => assert!(report.advice[0].contains("driver")),
        (trial, _) => panic!("{trial:?}"),
    }
}

#[test]
fn the_processor_gets_a_report_too() {
    let options = OpenOptions { tier: TierRequest::Cpu, ..OpenOptions::default() };
    let report = pollster::block_on(doctor(&AdapterChoice::default(), options));
    assert!(report.trial.is_ok(), "{report}");
}

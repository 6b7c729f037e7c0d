//! Regions are timed on the device's clock, nested ones inside their parents.

use burn::tensor::Tensor;
use maquette_gpu::{AdapterChoice, Gpu, GpuError, OpenOptions};

fn work(gpu: &Gpu) {
    let a = Tensor::<2>::ones([256, 256], gpu.device());
    let sum = {
        let _outer = gpu.region("outer");
        let b = {
            let _inner = gpu.region("inner");
            a.clone().matmul(a.clone())
        };
        {
            let _inner = gpu.region("second");
            b.matmul(a).sum()
        }
    };
    assert_eq!(sum.into_scalar::<f32>(), 256.0 * 256.0 * 256.0 * 256.0);
}

fn measured(gpu: &Gpu) {
    work(gpu);
    assert!(
        pollster::block_on(gpu.finish_profile()).expect("a profile").regions.is_empty(),
        "nothing is recorded unasked"
    );
    gpu.start_profile();
    work(gpu);
    let profile = pollster::block_on(gpu.finish_profile()).expect("a profile");
    let labels: Vec<_> = profile.regions.iter().map(|region| (region.label.as_str(), region.depth)).collect();
    assert_eq!(labels, [("outer", 0), ("inner", 1), ("second", 1)]);
    assert!(profile.regions.iter().all(|region| !region.duration.is_zero()), "{}", profile.table());
    let [outer, inner, second] = &profile.regions[..] else { panic!("three regions") };
    assert!(inner.duration + second.duration <= outer.duration.mul_f64(1.05), "{}", profile.table());
}

#[test]
fn regions_are_measured_on_the_processor() {
    measured(&Gpu::cpu());
}

#[test]
fn regions_are_measured_on_the_device() {
    match pollster::block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) {
        Ok(gpu) => measured(&gpu),
        Err(GpuError::NoAdapter { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

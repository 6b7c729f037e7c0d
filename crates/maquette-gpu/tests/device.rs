//! The device as tensors see it. Runs on whatever adapter is there, and on none.

use burn::tensor::Tensor;
use maquette_gpu::{
    AdapterChoice, Gpu, GpuError, GraphicsApis, OpenOptions, Tier, TierRequest, capabilities_of, list_adapters,
};

/// A device where the machine has one. No adapter is a proper answer: the CPU tests still run.
fn open(tier: TierRequest) -> Option<Gpu> {
    match pollster::block_on(Gpu::open(&AdapterChoice::default(), OpenOptions { tier, ..OpenOptions::default() })) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter { .. } | GpuError::TierUnavailable { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn product(gpu: &Gpu) -> Vec<f32> {
    let a = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], gpu.device());
    let b = Tensor::<2>::from_floats([[5.0, 6.0], [7.0, 8.0]], gpu.device());
    a.matmul(b).into_data().try_to_vec::<f32>().expect("the product is f32")
}

#[test]
fn the_processor_is_always_there() {
    let gpu = Gpu::cpu();
    assert_eq!(gpu.capabilities().tier, Tier::Cpu);
    assert_eq!(capabilities_of(gpu.device()).tier, Tier::Cpu);
    assert_eq!(product(&gpu), [19.0, 22.0, 43.0, 50.0]);
    assert_eq!(gpu.check(), Ok(()));
}

#[test]
fn tensors_of_an_opened_device_know_its_capabilities() {
    for tier in [TierRequest::Auto, TierRequest::Web, TierRequest::Base, TierRequest::Subgroup] {
        let Some(gpu) = open(tier) else { continue };
        let tensor = Tensor::<1>::zeros([4], gpu.device());
        assert_eq!(capabilities_of(&tensor.device()), *gpu.capabilities());
        assert_eq!(product(&gpu), [19.0, 22.0, 43.0, 50.0]);
        assert_eq!(gpu.check(), Ok(()));
    }
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_that_names_those_that_are() {
    let choice = AdapterChoice { name: Some("no such card".into()), ..AdapterChoice::default() };
    let error = pollster::block_on(Gpu::open(&choice, OpenOptions::default())).unwrap_err();
    assert!(matches!(&error, GpuError::NoAdapter { .. }));
    let adapters = pollster::block_on(list_adapters(GraphicsApis::ALL));
    for adapter in adapters {
        assert!(error.to_string().contains(&adapter.capabilities.name), "{error}");
    }
}

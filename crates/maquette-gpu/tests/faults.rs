//! What goes wrong on a device comes back as a value, and a new device works afterwards.

use burn::tensor::Tensor;
use maquette_gpu::{AdapterChoice, Gpu, GpuError, OpenOptions};

fn open_with(options: OpenOptions) -> Option<Gpu> {
    match pollster::block_on(Gpu::open(&AdapterChoice::default(), options)) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn open() -> Option<Gpu> {
    open_with(OpenOptions::default())
}

/// Tests of GPU bodies end early where no device opens; this one says whether any should.
#[test]
fn a_device_opens_exactly_where_a_vulkan_driver_is_named() {
    let opened = pollster::block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default()));
    let opened = opened.map(|gpu| gpu.capabilities().tier);
    let named = std::env::var_os("VK_DRIVER_FILES");
    match named.map(|drivers| std::env::split_paths(&drivers).any(|driver| driver.is_file())) {
        Some(true) => assert!(opened.is_ok(), "{opened:?}"),
        Some(false) => assert!(matches!(opened, Err(GpuError::NoAdapter { .. })), "{opened:?}"),
        // Any machine: a device, or none for the one reason that is no fault.
        None => assert!(matches!(opened, Ok(_) | Err(GpuError::NoAdapter { .. })), "{opened:?}"),
    }
}

fn sum(gpu: &Gpu) -> f32 {
    Tensor::<1>::from_floats([1.0, 2.0, 3.0], gpu.device()).sum().into_scalar::<f32>()
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_works() {
    let Some(gpu) = open() else { return };
    assert_eq!(gpu.guard(|| sum(&gpu)), Ok(6.0));
    let kept = Tensor::<1>::from_floats([1.0, 2.0], gpu.device());
    gpu.destroy_device();
    assert!(gpu.check().unwrap_err().is_lost());
    // A tensor of the lost device, and work that begins after the loss.
    assert!(gpu.guard(|| kept.into_data()).unwrap_err().is_lost());
    assert!(gpu.guard(|| sum(&gpu)).unwrap_err().is_lost());
    assert!(pollster::block_on(gpu.finish()).unwrap_err().is_lost());
    assert!(gpu.memory().unwrap_err().is_lost());

    let again = open().expect("the adapter was there before");
    assert_eq!(again.guard(|| sum(&again)), Ok(6.0));
    assert_eq!(pollster::block_on(again.finish()), Ok(()));
}

#[test]
fn a_device_lost_in_the_middle_of_work_does_not_return_stale_numbers() {
    let Some(gpu) = open() else { return };
    let outcome = gpu.guard(|| {
        let a = Tensor::<2>::ones([64, 64], gpu.device());
        let b = a.clone().matmul(a);
        // Not through our own door: as a driver reset comes.
        gpu.setup().unwrap().device.destroy();
        b.into_data()
    });
    assert!(outcome.unwrap_err().is_lost());
    let again = open().expect("the adapter was there before");
    assert_eq!(again.guard(|| sum(&again)), Ok(6.0));
}

#[test]
fn a_rejected_command_is_reported_once_and_the_device_goes_on() {
    let Some(gpu) = open() else { return };
    let device = &gpu.setup().unwrap().device;
    // Mapping and storage together are no valid usage without a feature that we never ask for.
    let _ = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("bad"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let error = gpu.check().unwrap_err();
    assert!(matches!(&error, GpuError::Validation { .. }), "{error:?}");
    assert_eq!(gpu.check(), Ok(()));
    assert_eq!(gpu.guard(|| sum(&gpu)), Ok(6.0));
}

#[test]
fn asking_for_faults_while_another_thread_polls_makes_none() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(gpu) = open() else { return };
    let device = &gpu.setup().unwrap().device;
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = device.poll(wgpu::PollType::Poll);
            }
        });
        let faults: Vec<GpuError> = (0..100_000).filter_map(|_| gpu.check().err()).take(1).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(faults, []);
    });
    assert_eq!(gpu.guard(|| sum(&gpu)), Ok(6.0));
}

#[test]
fn a_panic_in_guarded_work_is_an_error_with_its_message() {
    let gpu = Gpu::cpu();
    let outcome: Result<(), GpuError> = gpu.guard(|| panic!("shape {} is odd", 3));
    assert_eq!(outcome, Err(GpuError::Panicked { message: "shape 3 is odd".into() }));
    let outcome: Result<(), GpuError> = pollster::block_on(gpu.guard_async(async { panic!("later") }));
    assert_eq!(outcome, Err(GpuError::Panicked { message: "later".into() }));
}

#[test]
fn an_allocation_larger_than_the_device_is_an_error() {
    let Some(gpu) = open() else { return };
    // 2^40 floats: no device has four terabytes.
    let outcome = gpu.guard(|| Tensor::<2>::zeros([1 << 20, 1 << 20], gpu.device()).into_data());
    assert!(matches!(outcome, Err(GpuError::OutOfMemory { .. })), "{outcome:?}");
    let again = open().expect("the adapter was there before");
    assert_eq!(again.guard(|| sum(&again)), Ok(6.0));
}

#[test]
fn memory_is_accounted_for_and_the_budget_holds() {
    let budget = 64 << 20;
    let Some(gpu) = open_with(OpenOptions { memory_budget: Some(budget), ..OpenOptions::default() }) else { return };
    let before = gpu.memory().unwrap();
    let held = Tensor::<1>::ones([4 << 20], gpu.device());
    pollster::block_on(gpu.finish()).unwrap();
    let with = gpu.memory().unwrap();
    assert!(with.in_use >= before.in_use + (16 << 20), "{before} then {with}");
    assert!(with.reserved >= with.in_use);
    assert_eq!(gpu.ensure_room(16 << 20), Ok(()));
    let error = gpu.ensure_room(60 << 20).unwrap_err();
    assert!(matches!(error, GpuError::OverBudget { used, .. } if used >= 16 << 20), "{error}");
    drop(held);
    pollster::block_on(gpu.finish()).unwrap();
    assert!(gpu.memory().unwrap().in_use < with.in_use);
    // Work that did not ask for room and takes too much is stopped at its end, and so is all that follows while it is held.
    let error = gpu.guard(|| Tensor::<1>::ones([32 << 20], gpu.device())).unwrap_err();
    assert!(matches!(error, GpuError::BudgetExceeded { used, .. } if used >= 128 << 20), "{error}");
}

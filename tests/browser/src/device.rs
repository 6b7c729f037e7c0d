//! The device in a page: opening, computing, faults, loss and recovery.

use burn::tensor::Tensor;
use maquette_gpu::{AdapterChoice, Gpu, GpuError, OpenOptions, Tier, TierRequest, capabilities_of};

use crate::Check;

type Outcome = Result<String, String>;

pub(crate) async fn checks() -> Vec<Check> {
    vec![
        Check::new("a device opens and its capabilities are known", opens().await),
        Check::new("tensors compute as on the processor", computes().await),
        Check::new("regions are timed", timed().await),
        Check::new("memory is accounted for", accounted().await),
        Check::new("a tier above the browser's is refused", refuses().await),
        Check::new("a rejected command is reported once and the device goes on", rejected().await),
        Check::new("a device destroyed by the program is an error, and a new one works", destroyed().await),
        Check::new("a device that the browser takes away is an error, and a new one works", taken_away().await),
        Check::new("the loss of a device frees the page for the next, again and again", again_and_again().await),
    ]
}

/// Checks for a page that gives devices no timestamps.
pub(crate) async fn untimed_checks() -> Vec<Check> {
    vec![
        Check::new("a device without timestamps says so", says_untimed().await),
        Check::new("regions of a device without timestamps are timed on the page's clock", timed().await),
    ]
}

async fn says_untimed() -> Outcome {
    let gpu = open().await?;
    expect("timestamps", gpu.capabilities().timestamps, false)?;
    expect("check", gpu.check(), Ok(()))?;
    Ok(String::new())
}

async fn open() -> Result<Gpu, String> {
    Gpu::open(&AdapterChoice::default(), OpenOptions::default()).await.map_err(|error| error.to_string())
}

async fn numbers(gpu: &Gpu) -> Result<Vec<f32>, String> {
    let a = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], gpu.device());
    let b = Tensor::<2>::from_floats([[5.0, 6.0], [7.0, 8.0]], gpu.device());
    let data = a.matmul(b).into_data_async().await.map_err(|error| format!("{error:?}"))?;
    data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, came: T, expected: T) -> Result<(), String> {
    if came == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, came {came:?}")) }
}

fn expect_lost(what: &str, came: Result<(), GpuError>) -> Result<(), String> {
    match came {
        Err(error) if error.is_lost() => Ok(()),
        other => Err(format!("{what}: expected the loss of the device, came {other:?}")),
    }
}

async fn opens() -> Outcome {
    let gpu = open().await?;
    let facts = gpu.capabilities();
    expect("the registered capabilities", capabilities_of(gpu.device()), facts.clone())?;
    if facts.tier < Tier::Base || facts.storage_buffers < 8 || facts.workgroup_memory < 16 << 10 {
        return Err(format!("less than WebGPU guarantees: {facts:?}"));
    }
    Ok(format!("{} on {}", facts.tier, facts.name))
}

async fn computes() -> Outcome {
    let gpu = open().await?;
    expect("the product", numbers(&gpu).await?, numbers(&Gpu::cpu()).await?)?;
    gpu.finish().await.map_err(|error| error.to_string())?;
    Ok(String::new())
}

async fn timed() -> Outcome {
    let gpu = open().await?;
    gpu.start_profile();
    {
        let _outer = gpu.region("outer");
        let _inner = gpu.region("inner");
        numbers(&gpu).await?;
    }
    let profile = gpu.finish_profile().await.map_err(|error| error.to_string())?;
    let labels: Vec<_> = profile.regions.iter().map(|region| (region.label.as_str(), region.depth)).collect();
    expect("the regions", labels, vec![("outer", 0), ("inner", 1)])?;
    expect("the device afterwards", gpu.check(), Ok(()))?;
    Ok(format!("{:?}", profile.regions[0].duration))
}

async fn accounted() -> Outcome {
    let gpu = open().await?;
    let before = gpu.memory().map_err(|error| error.to_string())?;
    let held = Tensor::<1>::ones([1 << 20], gpu.device());
    gpu.finish().await.map_err(|error| error.to_string())?;
    let with = gpu.memory().map_err(|error| error.to_string())?;
    drop(held);
    if with.in_use < before.in_use + (4 << 20) {
        return Err(format!("four MiB more were expected; before {before}, with them {with}"));
    }
    Ok(with.to_string())
}

async fn refuses() -> Outcome {
    let options = OpenOptions { tier: TierRequest::Matrix, ..OpenOptions::default() };
    match Gpu::open(&AdapterChoice::default(), options).await {
        Err(GpuError::TierUnavailable { .. }) => Ok(String::new()),
        other => Err(format!("expected a refusal, came {other:?}")),
    }
}

async fn rejected() -> Outcome {
    let gpu = open().await?;
    let setup = gpu.setup().ok_or("no GPU")?;
    // Mapping and storage together are no valid usage.
    let _ = setup.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("bad"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    // A browser tells of it with one of the next turns of its loop; a read gives it time.
    numbers(&gpu).await?;
    match gpu.check() {
        Err(GpuError::Validation { .. }) => {}
        other => return Err(format!("expected a validation error, came {other:?}")),
    }
    expect("the fault a second time", gpu.check(), Ok(()))?;
    expect("numbers afterwards", numbers(&gpu).await?, vec![19.0, 22.0, 43.0, 50.0])?;
    Ok(String::new())
}

async fn destroyed() -> Outcome {
    let gpu = open().await?;
    numbers(&gpu).await?;
    gpu.destroy_device();
    expect_lost("check", gpu.check())?;
    expect_lost("finish", gpu.finish().await)?;
    expect_lost("guard", gpu.guard(|| ()))?;
    recovered().await
}

async fn taken_away() -> Outcome {
    let gpu = open().await?;
    numbers(&gpu).await?;
    gpu.setup().ok_or("no GPU")?.device.destroy();
    // The browser tells of the loss by a promise: reading lets it come through.
    let read = numbers(&gpu).await;
    expect_lost("check", gpu.check())?;
    if let Ok(values) = read {
        return Err(format!("a read from the lost device gave {values:?}"));
    }
    recovered().await
}

async fn again_and_again() -> Outcome {
    for _ in 0..5 {
        let gpu = open().await?;
        numbers(&gpu).await?;
        gpu.destroy_device();
    }
    recovered().await
}

async fn recovered() -> Outcome {
    let gpu = open().await?;
    expect("numbers of the new device", numbers(&gpu).await?, vec![19.0, 22.0, 43.0, 50.0])?;
    expect("check of the new device", gpu.check(), Ok(()))?;
    Ok(String::new())
}

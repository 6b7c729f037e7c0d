//! From options to an open device.

use maquette::{Gpu, ModelSource, Precision, TierRequest};
use maquette_gpu::{AdapterChoice, GpuError, OpenOptions};

use crate::args::{DeviceArgs, PrecisionArg};
use crate::pipelines::{self, Pipelines};
use crate::report::Failure;

/// The choice and options that the arguments mean.
pub fn options(args: &DeviceArgs) -> Result<(AdapterChoice, OpenOptions), Failure> {
    let tier: TierRequest = args.tier.parse()?;
    let memory_budget = args.vram_budget.as_deref().map(bytes).transpose()?;
    let mut choice = AdapterChoice::default();
    match args.adapter.as_deref().map(|a| (a, a.parse())) {
        Some((_, Ok(index))) => choice.index = Some(index),
        Some((name, Err(_))) => choice.name = Some(name.to_owned()),
        // Nobody asked for a software rasteriser; the CPU tier is faster than one.
        None => choice.hardware_only = tier == TierRequest::Auto,
    }
    Ok((choice, OpenOptions { tier, memory_budget, pipelines: pipelines::folder(), ..OpenOptions::default() }))
}

/// An open device, and what there is to say about it.
pub struct Opened {
    pub gpu: Gpu,
    pub note: Option<String>,
    /// To be held for as long as the device is used.
    pub pipelines: Pipelines,
}

/// Opens the device. Where nothing was asked for and no graphics card answers, the CPU tier runs, and the note says so.
pub fn open(args: &DeviceArgs) -> Result<Opened, Failure> {
    let (choice, options) = options(args)?;
    let nothing_asked = options.tier == TierRequest::Auto && args.adapter.is_none();
    let (gpu, note) = match pollster::block_on(Gpu::open(&choice, options)) {
        Ok(gpu) => (gpu, None),
        Err(GpuError::NoAdapter { .. }) if nothing_asked => {
            let note = "no graphics card answers; running on the processor, which is slow (see `maquette doctor`)";
            (Gpu::cpu(), Some(note.to_owned()))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Opened::of(gpu, note))
}

impl Opened {
    /// The device, with pipelines of earlier runs under way.
    pub fn of(gpu: Gpu, note: Option<String>) -> Self {
        Self { pipelines: Pipelines::of(&gpu), gpu, note }
    }
}

/// The precision that will be used on a device. Weights that are stored packed stay packed unless something else is asked for.
pub fn precision(asked: PrecisionArg, gpu: &Gpu, model: &dyn ModelSource) -> Result<Precision, Failure> {
    let half = half(gpu);
    let packed = if half { Precision::Q8F16 } else { Precision::Q8F32 };
    match asked {
        PrecisionArg::Auto if is_packed(model)? => Ok(packed),
        PrecisionArg::Auto if half => Ok(Precision::F16),
        PrecisionArg::Auto | PrecisionArg::F32 => Ok(Precision::F32),
        PrecisionArg::F16 if half => Ok(Precision::F16),
        PrecisionArg::F16 => Err(no_half()),
        PrecisionArg::Q8 => Ok(packed),
    }
}

/// Whether a device computes with 16-bit floats.
pub fn half(gpu: &Gpu) -> bool {
    gpu.capabilities().f16 && gpu.setup().is_some()
}

/// What is said where 16-bit floats were asked for and the device has none.
pub fn no_half() -> Failure {
    let (expected, found) = ("f32, q8 or auto: this device has no 16-bit floats".to_owned(), "f16".to_owned());
    maquette::Error::Option { option: "--precision", expected, found }.into()
}

fn is_packed(model: &dyn ModelSource) -> Result<bool, Failure> {
    let (_, weights) = model.network("slat_flow_model")?;
    Ok(weights.names().into_iter().filter_map(|name| weights.info(name)).any(|info| info.dtype.is_packed()))
}

/// A number of bytes: `6GB`, `512MiB`, `1.5G`, `1000000`.
fn bytes(text: &str) -> Result<u64, Failure> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "k" | "kb" => Some(1e3),
        "m" | "mb" => Some(1e6),
        "g" | "gb" => Some(1e9),
        "kib" => Some(1024.0),
        "mib" => Some(1024.0 * 1024.0),
        "gib" => Some(1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    match (number.parse::<f64>(), factor) {
        (Ok(n), Some(factor)) if n > 0.0 && n * factor >= 1.0 => Ok((n * factor) as u64),
        _ => {
            let expected = "a size such as 6GB, 512MiB or 1.5G".to_owned();
            Err(maquette::Error::Option { option: "--vram-budget", expected, found: text.to_owned() }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        for (text, expected) in [("6GB", 6_000_000_000), ("512 MiB", 512 << 20), ("1.5G", 1_500_000_000), ("7", 7)] {
            assert_eq!(bytes(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "GB", "-1GB", "6 apples", "0"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}

//! What this machine offers, whether it works, and what would help: for people who ask why it is slow or does not start.

use std::fmt;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use web_time::Instant;

use crate::memory::Bytes;
use crate::{
    AdapterChoice, AdapterKind, AdapterSummary, Capabilities, Gpu, GpuError, OpenOptions, Tier, list_adapters,
};

/// A report on this machine or browser. [`fmt::Display`] is the form for people; faces that show their own take the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Doctor {
    /// Every adapter that runs compute work.
    pub adapters: Vec<AdapterSummary>,
    /// What a small piece of work on the chosen device did.
    pub trial: Result<Trial, GpuError>,
    /// What the user could do, most useful first. Empty when nothing is amiss.
    pub advice: Vec<String>,
}

/// A device was opened and computed what the processor computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What the device can do, with the tier in force.
    pub capabilities: Capabilities,
    /// From the choice of the adapter to the open device.
    pub open: Duration,
    /// First operation: upload, pipeline creation, computation, read-back.
    pub first: Duration,
    /// The same again, with everything warm.
    pub warm: Duration,
}

/// Look at this machine: list the adapters, open the one that `choice` and `options` mean, and let it multiply two matrices.
///
/// Never fails; what does is in [`Doctor::trial`].
pub async fn doctor(choice: &AdapterChoice, options: OpenOptions) -> Doctor {
    let adapters = list_adapters(choice.apis).await;
    let trial = try_out(choice, options).await;
    let advice = advise(&adapters, &trial, vulkan_loader());
    Doctor { adapters, trial, advice }
}

async fn try_out(choice: &AdapterChoice, options: OpenOptions) -> Result<Trial, GpuError> {
    let start = Instant::now();
    let gpu = Gpu::open(choice, options).await?;
    let open = start.elapsed();
    let start = Instant::now();
    let sum = gpu.guard_async(product(gpu.device())).await??;
    let first = start.elapsed();
    let start = Instant::now();
    gpu.guard_async(product(gpu.device())).await??;
    let warm = start.elapsed();
    let expected = product(Gpu::cpu().device()).await?;
    if sum != expected {
        let message = format!("a product of two matrices is {sum:?} there and {expected:?} on the processor");
        return Err(GpuError::Internal { message });
    }
    Ok(Trial { capabilities: Capabilities::clone(gpu.capabilities()), open, first, warm })
}

/// The column sums of a product of small whole numbers: exact in f32 in any order of summation.
async fn product(device: &Device) -> Result<Vec<f32>, GpuError> {
    const SIZE: usize = 128;
    let values = (0..SIZE * SIZE).map(|i| (i * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
    let matrix = Tensor::<1>::from_floats(values.as_slice(), device).reshape([SIZE, SIZE]);
    let sums = matrix.clone().matmul(matrix.transpose()).sum_dim(0).reshape([SIZE]);
    let failed = |message: String| GpuError::Internal { message };
    let data = sums.into_data_async().await.map_err(|error| failed(format!("{error:?}")))?;
    data.try_to_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
}

/// Whether the library through which Vulkan drivers are reached is there. Where drivers are reached otherwise, there is nothing to miss.
fn vulkan_loader() -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: the system's own Vulkan loader is loaded, as wgpu does it, and let go of again.
    return unsafe { ash::Entry::load() }.is_ok();
    #[cfg(not(target_os = "linux"))]
    true
}

fn advise(adapters: &[AdapterSummary], trial: &Result<Trial, GpuError>, loader: bool) -> Vec<String> {
    let mut advice = Vec::new();
    let mut say = |text: &str| advice.push(text.to_owned());
    let hardware = adapters.iter().any(|adapter| adapter.capabilities.kind != AdapterKind::Software);
    if adapters.is_empty() && !loader {
        say(
            "The Vulkan loader is missing, so no driver can answer. Install it (package libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora, vulkan-icd-loader on Arch) and the vendor's driver. Until then everything runs on the processor, slowly.",
        );
    } else if adapters.is_empty() {
        say(if cfg!(target_family = "wasm") {
            "This browser offers no WebGPU. Use a current Chrome, Edge, Safari or Firefox with hardware acceleration on; on Linux, Chrome may need WebGPU switched on in chrome://flags."
        } else {
            "No graphics driver answers. Install the vendor's driver; in a container, pass the card through. Until then everything runs on the processor, slowly."
        });
    } else if !hardware {
        say(
            "Only a software rasteriser answers, no graphics card. It computes correctly but many times slower; if there is a card, its driver is missing or not visible to this process.",
        );
    }
    match trial {
        Err(error) if !matches!(error, GpuError::NoAdapter { .. }) => {
            say(&format!("The trial failed: {error}"));
            say("Try another adapter (by name or number), a lower tier, or the CPU tier.");
        }
        Err(_) => {}
        Ok(trial) => {
            let facts = &trial.capabilities;
            if facts.kind == AdapterKind::Software && hardware {
                say(
                    "A software rasteriser was chosen although there is a graphics card: leave the choice of the adapter open.",
                );
            }
            if facts.tier < facts.best_tier {
                say(&format!(
                    "The tier is forced to {}; this device reaches {} and is faster there.",
                    facts.tier, facts.best_tier
                ));
            }
            if facts.best_tier < Tier::Matrix && facts.architecture.has_matrix_units() && facts.backend == "vulkan" {
                say(
                    "This card has matrix units, but its driver does not offer them to Vulkan (VK_KHR_cooperative_matrix): update the driver.",
                );
            }
            if !facts.f16 {
                say("No 16-bit floats: weights and activations take twice the memory, and matrix work is slower.");
            }
            if facts.best_tier == Tier::Base && facts.backend != "webgpu" {
                say("No subgroup operations: reductions and attention are slower. A newer driver may bring them.");
            }
            if facts.storage_binding < 1 << 30 {
                say(&format!(
                    "One buffer holds at most {}: large tensors are worked through in pieces.",
                    Bytes(facts.storage_binding)
                ));
            }
            if !facts.timestamps {
                say("No timestamps: profiles show the host's clock.");
            }
        }
    }
    advice
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "adapters:")?;
        for adapter in &self.adapters {
            writeln!(f, "  {adapter}")?;
        }
        if self.adapters.is_empty() {
            writeln!(f, "  none")?;
        }
        match &self.trial {
            Ok(trial) => {
                writeln!(f, "chosen device:")?;
                for (name, value) in trial.capabilities.facts() {
                    writeln!(f, "  {name:<22} {value}")?;
                }
                let ms = |time: Duration| time.as_secs_f64() * 1e3;
                writeln!(
                    f,
                    "trial: computes as the processor does; opened in {:.0} ms, first use {:.0} ms, then {:.1} ms",
                    ms(trial.open),
                    ms(trial.first),
                    ms(trial.warm)
                )?;
            }
            Err(error) => writeln!(f, "trial: failed: {error}")?,
        }
        writeln!(f, "advice:")?;
        for line in &self.advice {
            writeln!(f, "  - {line}")?;
        }
        if self.advice.is_empty() {
            writeln!(f, "  - nothing to improve")?;
        }
        Ok(())
    }
}

impl Capabilities {
    /// The facts as pairs of words, for tables.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let shapes: Vec<String> = self
            .matrix_shapes
            .iter()
            .map(|s| format!("{}×{}×{} {}→{}", s.m, s.n, s.k, s.input.name(), s.accumulator.name()))
            .collect();
        let [x, y, z] = self.workgroup_size;
        let mut facts = vec![
            ("name", self.name.clone()),
            ("kind", self.kind.name().to_owned()),
            ("graphics API", self.backend.to_owned()),
            ("driver", self.driver.clone()),
            ("architecture", self.architecture.to_string()),
            ("tier", format!("{}{}", self.tier, if self.web_limits { " (web limits)" } else { "" })),
            ("best tier", self.best_tier.to_string()),
            ("16-bit floats", yes(self.f16)),
            ("subgroups", self.subgroups.map_or("no".to_owned(), |s| format!("{} to {}", s.min, s.max))),
            ("matrix shapes", if shapes.is_empty() { "none".to_owned() } else { shapes.join(", ") }),
        ];
        if self.tier > Tier::Cpu {
            facts.extend([
                ("timestamps", yes(self.timestamps)),
                ("workgroup memory", Bytes(self.workgroup_memory.into()).to_string()),
                ("workgroup", format!("{} invocations, at most {x}×{y}×{z}", self.workgroup_invocations)),
                ("storage buffers", self.storage_buffers.to_string()),
                ("largest binding", Bytes(self.storage_binding).to_string()),
                ("largest buffer", Bytes(self.buffer).to_string()),
            ]);
        }
        facts.retain(|(_, value)| !value.is_empty());
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(facts: Capabilities) -> Result<Trial, GpuError> {
        let instant = Duration::from_millis(1);
        Ok(Trial { capabilities: facts, open: instant, first: instant, warm: instant })
    }

    /// An up-to-date card that leaves nothing to say.
    fn fine() -> Capabilities {
        Capabilities {
            tier: Tier::Matrix,
            best_tier: Tier::Matrix,
            kind: AdapterKind::Discrete,
            backend: "vulkan",
            timestamps: true,
            ..Capabilities::clone(&Capabilities::cpu())
        }
    }

    fn advice_on(facts: Capabilities) -> String {
        let adapters = [AdapterSummary { index: 0, capabilities: facts.clone() }];
        advise(&adapters, &trial(facts), true).join("\n")
    }

    #[test]
    fn a_machine_without_a_driver_is_told_what_to_install() {
        let none = Err(GpuError::NoAdapter { wanted: "any choice".into(), found: "no adapter at all".into() });
        for (loader, words) in [(true, "No graphics driver answers"), (false, "Vulkan loader is missing")] {
            let advice = advise(&[], &none, loader);
            assert_eq!(advice.len(), 1);
            assert!(advice[0].contains(words), "{advice:?}");
        }
    }

    #[test]
    fn each_shortcoming_is_named_and_a_good_card_hears_nothing() {
        assert_eq!(advice_on(fine()), "");
        assert!(advice_on(Capabilities { f16: false, ..fine() }).contains("16-bit"));
        assert!(advice_on(Capabilities { timestamps: false, ..fine() }).contains("host's clock"));
        assert!(advice_on(Capabilities { storage_binding: 128 << 20, ..fine() }).contains("128.0 MiB"));
        assert!(advice_on(Capabilities { kind: AdapterKind::Software, ..fine() }).contains("software rasteriser"));
        let forced = Capabilities { tier: Tier::Base, ..fine() };
        assert!(advice_on(forced).contains("forced to base"));
        let old = Capabilities {
            tier: Tier::Subgroup,
            best_tier: Tier::Subgroup,
            architecture: crate::Architecture::NvidiaAda,
            ..fine()
        };
        assert!(advice_on(old).contains("update the driver"));
    }

    #[test]
    fn the_report_shows_facts_trial_and_advice() {
        let report = Doctor {
            adapters: vec![AdapterSummary { index: 0, capabilities: fine() }],
            trial: trial(fine()),
            advice: Vec::new(),
        }
        .to_string();
        for expected in ["0: processor", "tier                   matrix", "opened in 1 ms", "nothing to improve"] {
            assert!(report.contains(expected), "{expected:?} is missing in\n{report}");
        }
    }
}

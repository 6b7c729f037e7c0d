//! Which adapter to open.

use std::fmt;

use crate::GpuError;
use crate::capabilities::{AdapterKind, Capabilities, backend_name};

/// Which graphics APIs may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GraphicsApis(wgpu::Backends);

impl GraphicsApis {
    /// Every API that this build knows.
    pub const ALL: Self = Self(wgpu::Backends::PRIMARY);

    /// One API by name: `vulkan`, `metal`, `dx12` or `webgpu`; `None` for any other word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let backends = match name.trim().to_ascii_lowercase().as_str() {
            "vulkan" => wgpu::Backends::VULKAN,
            "metal" => wgpu::Backends::METAL,
            "dx12" => wgpu::Backends::DX12,
            "webgpu" => wgpu::Backends::BROWSER_WEBGPU,
            _ => return None,
        };
        Some(Self(backends))
    }
}

impl Default for GraphicsApis {
    fn default() -> Self {
        Self::ALL
    }
}

/// Which of several adapters is preferred when nothing else decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Power {
    /// The strongest: discrete before integrated before virtual before software.
    #[default]
    High,
    /// The most frugal: integrated before discrete before virtual before software.
    Low,
}

/// Which adapter to open. The default is the strongest GPU; software rasterisers only when there is nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdapterChoice {
    /// Only adapters whose name contains this, ignoring case.
    pub name: Option<String>,
    /// The n-th adapter of [`list_adapters`], after the other rules.
    pub index: Option<usize>,
    /// What to prefer among those that are left.
    pub power: Power,
    /// Which graphics APIs may be used.
    pub apis: GraphicsApis,
    /// Whether to refuse software rasterisers instead of falling back to them.
    pub hardware_only: bool,
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(name) = &self.name {
            parts.push(format!("the name {name:?}"));
        }
        if let Some(index) = self.index {
            parts.push(format!("index {index}"));
        }
        if self.hardware_only {
            parts.push("hardware only".to_owned());
        }
        if self.apis != GraphicsApis::ALL {
            parts.push(format!("the API {:?}", self.apis.0));
        }
        if parts.is_empty() { f.write_str("any choice") } else { f.write_str(&parts.join(" and ")) }
    }
}

/// One line of the list of adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Its place in the list, for [`AdapterChoice::index`].
    pub index: usize,
    /// What it can do, with no tier forced.
    pub capabilities: Capabilities,
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.capabilities;
        write!(f, "{}: {} ({}, {}, tier {})", self.index, facts.name, facts.backend, facts.kind.name(), facts.best_tier)
    }
}

/// The adapters of this machine or browser that run compute work, best first as [`Power::High`] orders them.
///
/// A browser offers one adapter at most. An empty list means that only the CPU tier is left.
pub async fn list_adapters(apis: GraphicsApis) -> Vec<AdapterSummary> {
    let instance = instance();
    adapters(&instance, apis, Power::High)
        .await
        .iter()
        .enumerate()
        .map(|(index, adapter)| AdapterSummary { index, capabilities: Capabilities::read(adapter) })
        .collect()
}

/// Pick the adapter that a choice means.
pub(crate) async fn choose(choice: &AdapterChoice) -> Result<(wgpu::Instance, wgpu::Adapter), GpuError> {
    let instance = instance();
    let all = adapters(&instance, choice.apis, choice.power).await;
    let found = if all.is_empty() {
        "no adapter at all".to_owned()
    } else {
        all.iter().map(|adapter| describe(&adapter.get_info())).collect::<Vec<_>>().join(", ")
    };
    let wanted = choice.name.as_deref().map(str::to_lowercase);
    let picked = all
        .into_iter()
        .filter(|adapter| {
            let info = adapter.get_info();
            let named = wanted.as_ref().is_none_or(|wanted| info.name.to_lowercase().contains(wanted));
            named && !(choice.hardware_only && info.device_type == wgpu::DeviceType::Cpu)
        })
        .nth(choice.index.unwrap_or(0));
    match picked {
        Some(adapter) => Ok((instance, adapter)),
        None => Err(GpuError::NoAdapter { wanted: choice.to_string(), found }),
    }
}

fn describe(info: &wgpu::AdapterInfo) -> String {
    format!("{} ({}, {})", info.name, backend_name(info.backend), AdapterKind::of(info.device_type).name())
}

/// Adapters with what Burn and our kernels cannot do without, in the order of preference (a stable sort, so that the
/// driver's own order decides among equals).
async fn adapters(instance: &wgpu::Instance, apis: GraphicsApis, power: Power) -> Vec<wgpu::Adapter> {
    let mut all = enumerate(instance, apis, power).await;
    all.retain(|adapter| {
        let limits = adapter.limits();
        limits.max_compute_invocations_per_workgroup >= 128 && limits.max_storage_buffers_per_shader_stage >= 4
    });
    all.sort_by_key(|adapter| {
        let rank = |order: [wgpu::DeviceType; 5], kind| order.iter().position(|entry| *entry == kind);
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        let kind = adapter.get_info().device_type;
        match power {
            Power::High => rank([DiscreteGpu, IntegratedGpu, VirtualGpu, Other, Cpu], kind),
            Power::Low => rank([IntegratedGpu, DiscreteGpu, VirtualGpu, Other, Cpu], kind),
        }
    });
    all
}

#[cfg(not(target_family = "wasm"))]
async fn enumerate(instance: &wgpu::Instance, apis: GraphicsApis, _power: Power) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(apis.0).await
}

/// A browser hands out one adapter, and only on request.
#[cfg(target_family = "wasm")]
async fn enumerate(instance: &wgpu::Instance, _apis: GraphicsApis, power: Power) -> Vec<wgpu::Adapter> {
    let power_preference = match power {
        Power::High => wgpu::PowerPreference::HighPerformance,
        Power::Low => wgpu::PowerPreference::LowPower,
    };
    let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
    instance.request_adapter(&options).await.into_iter().collect()
}

/// One instance a process: the Vulkan loader crashes when instances come and go on several threads at once.
#[cfg(not(target_family = "wasm"))]
fn instance() -> wgpu::Instance {
    static INSTANCE: std::sync::OnceLock<wgpu::Instance> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(new_instance).clone()
}

#[cfg(target_family = "wasm")]
fn instance() -> wgpu::Instance {
    new_instance()
}

fn new_instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: GraphicsApis::ALL.0,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

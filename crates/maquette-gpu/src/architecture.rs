//! The class of hardware, for reports and for tables of measurements.

use std::fmt;

/// A family of GPUs that wants the same kernel variants. Found from the PCI vendor and device ids; where a browser hides
/// them, [`Architecture::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// A software rasteriser (lavapipe, SwiftShader, WARP) or no GPU at all.
    Software,
    /// NVIDIA before Turing.
    NvidiaOlder,
    /// NVIDIA Turing (RTX 20, GTX 16, T4) and Volta.
    NvidiaTuring,
    /// NVIDIA Ampere (RTX 30, A100).
    NvidiaAmpere,
    /// NVIDIA Ada Lovelace (RTX 40, L4, L40).
    NvidiaAda,
    /// NVIDIA Hopper (H100, H200).
    NvidiaHopper,
    /// NVIDIA Blackwell (RTX 50, B200) or later.
    NvidiaBlackwell,
    /// Any AMD GPU.
    Amd,
    /// Any Intel GPU.
    Intel,
    /// Apple silicon.
    Apple,
    /// Arm Mali and Immortalis.
    Arm,
    /// Qualcomm Adreno.
    Qualcomm,
    /// Not known.
    Unknown,
}

impl Architecture {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::NvidiaOlder => "nvidia-older",
            Self::NvidiaTuring => "nvidia-turing",
            Self::NvidiaAmpere => "nvidia-ampere",
            Self::NvidiaAda => "nvidia-ada",
            Self::NvidiaHopper => "nvidia-hopper",
            Self::NvidiaBlackwell => "nvidia-blackwell",
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Apple => "apple",
            Self::Arm => "arm",
            Self::Qualcomm => "qualcomm",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the hardware has matrix units that Vulkan's cooperative matrices can reach, given a driver that offers them.
    #[must_use]
    pub fn has_matrix_units(self) -> bool {
        matches!(
            self,
            Self::NvidiaTuring | Self::NvidiaAmpere | Self::NvidiaAda | Self::NvidiaHopper | Self::NvidiaBlackwell
        )
    }

    /// Find the class from PCI ids (`vendor`, `device`) and the adapter's name.
    pub(crate) fn find(vendor: u32, device: u32, name: &str, software: bool) -> Self {
        if software {
            return Self::Software;
        }
        match vendor {
            0x10de => Self::nvidia(device),
            0x1002 | 0x1022 => Self::Amd,
            0x8086 => Self::Intel,
            0x106b => Self::Apple,
            0x13b5 => Self::Arm,
            0x5143 => Self::Qualcomm,
            // Metal reports no ids, only names.
            _ if name.starts_with("Apple") => Self::Apple,
            _ if name.starts_with("AMD") => Self::Amd,
            _ if name.starts_with("Intel") => Self::Intel,
            _ => Self::Unknown,
        }
    }

    /// NVIDIA gives device ids in blocks, one block after the other a generation.
    fn nvidia(device: u32) -> Self {
        match device {
            0..=0x1d7f => Self::NvidiaOlder,
            0x1d80..=0x1fff | 0x2180..=0x21ff => Self::NvidiaTuring,
            0x2000..=0x217f | 0x2200..=0x22ff | 0x2400..=0x25ff => Self::NvidiaAmpere,
            0x2300..=0x23ff => Self::NvidiaHopper,
            0x2600..=0x28ff => Self::NvidiaAda,
            _ => Self::NvidiaBlackwell,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_cards_fall_into_their_class() {
        let cards = [
            (0x10de, 0x2335, "NVIDIA H200", Architecture::NvidiaHopper),
            (0x10de, 0x20b0, "NVIDIA A100", Architecture::NvidiaAmpere),
            (0x10de, 0x2204, "NVIDIA GeForce RTX 3090", Architecture::NvidiaAmpere),
            (0x10de, 0x2684, "NVIDIA GeForce RTX 4090", Architecture::NvidiaAda),
            (0x10de, 0x2b85, "NVIDIA GeForce RTX 5090", Architecture::NvidiaBlackwell),
            (0x10de, 0x1eb8, "Tesla T4", Architecture::NvidiaTuring),
            (0x1002, 0x744c, "AMD Radeon RX 7900 XTX", Architecture::Amd),
            (0, 0, "Apple M3 Max", Architecture::Apple),
            (0, 0, "", Architecture::Unknown),
        ];
        for (vendor, device, name, expected) in cards {
            assert_eq!(Architecture::find(vendor, device, name, false), expected, "{name}");
        }
        assert_eq!(Architecture::find(0x10005, 0, "llvmpipe", true), Architecture::Software);
    }
}

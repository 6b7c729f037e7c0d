//! Adapter choice, capability tiers and one shared wgpu device.

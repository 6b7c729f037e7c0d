//! What naga finds in a resolved permutation. Used by the build and by the tests, not by the library.

use naga::{
    AddressSpace, StorageAccess,
    valid::{Capabilities, ValidationFlags, Validator},
};

/// A storage buffer of a permutation.
pub struct Buffer {
    pub name: String,
    pub written: bool,
    pub min_bytes: u32,
}

/// What a permutation uses.
pub struct Facts {
    pub workgroup_size: [u32; 3],
    pub workgroup_memory: u32,
    pub buffers: Vec<Buffer>,
}

/// Most storage buffers that a kernel may bind (WebGPU's guaranteed limit).
const MAX_BUFFERS: usize = 8;
/// WebGPU's guaranteed limit, which every tier below matrix keeps.
const MAX_WEB_INVOCATIONS: u32 = 256;

fn memory_limit(tier: &str) -> u32 {
    match tier {
        "base" => 16 << 10,
        "subgroup" => 32 << 10,
        _ => 48 << 10,
    }
}

/// Validates `wgsl` with no more features than `needs` names and measures it against the limits of `tier`.
pub fn check(wgsl: &str, needs: &[String], tier: &str) -> Result<Facts, String> {
    // Reading f16 pairs out of words works on every WebGPU device.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    for need in needs {
        capabilities |= match need.as_str() {
            "f16" => Capabilities::SHADER_FLOAT16,
            "subgroups" => Capabilities::SUBGROUP,
            _ => Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER | Capabilities::COOPERATIVE_MATRIX,
        };
    }
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let info =
        Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(|e| e.emit_to_string(wgsl))?;
    let [entry] = module.entry_points.as_slice() else {
        return Err("expected exactly one entry point, `main`".into());
    };
    if entry.name != "main" {
        return Err(format!("expected the entry point to be called `main`, found `{}`", entry.name));
    }
    let uses = info.get_entry_point(0);
    let mut layouts = naga::proc::Layouter::default();
    layouts.update(module.to_ctx()).map_err(|e| e.to_string())?;
    let mut memory = 0;
    let mut buffers = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        let layout = &layouts[variable.ty];
        match variable.space {
            AddressSpace::WorkGroup if !uses[handle].is_empty() => memory += layout.size.next_multiple_of(16),
            AddressSpace::Storage { access } => {
                let name = variable.name.clone().unwrap_or_default();
                let binding = variable.binding.as_ref().map(|b| (b.group, b.binding));
                if binding != Some((0, buffers.len() as u32)) {
                    return Err(format!("`{name}`: expected @group(0) @binding({})", buffers.len()));
                }
                // The launcher lets the driver derive the layout, which leaves unused buffers out.
                if uses[handle].is_empty() {
                    return Err(format!("`{name}` is bound but never used"));
                }
                let written = access.contains(StorageAccess::STORE);
                // Tensors share pages, and one page bound both for reading and for writing is an error.
                if written == (name == "info") {
                    return Err(format!("`{name}`: expected read_write for tensors and read for `info`"));
                }
                buffers.push(Buffer { name, written, min_bytes: layout.size });
            }
            AddressSpace::Uniform => return Err("expected storage buffers only: parameters come in `info`".into()),
            _ => {}
        }
    }
    if buffers.last().is_none_or(|last| last.name != "info") {
        return Err("expected the last buffer to be `info: array<u32>`".into());
    }
    if buffers.len() > MAX_BUFFERS {
        return Err(format!("{} storage buffers, at most {MAX_BUFFERS} are allowed", buffers.len()));
    }
    if memory > memory_limit(tier) {
        return Err(format!("{memory} bytes of workgroup memory, tier {tier} has {}", memory_limit(tier)));
    }
    let invocations: u32 = entry.workgroup_size.iter().product();
    if tier != "matrix" && invocations > MAX_WEB_INVOCATIONS {
        return Err(format!("{invocations} invocations, tier {tier} allows {MAX_WEB_INVOCATIONS}"));
    }
    Ok(Facts { workgroup_size: entry.workgroup_size, workgroup_memory: memory, buffers })
}

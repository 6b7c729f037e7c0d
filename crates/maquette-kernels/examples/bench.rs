//! `bench [auto|web|base|subgroup|matrix] [f16|f32] [full|small] [only=TEXT]`: the kernels' times and errors on the
//! strongest adapter, as `maquette bench kernels` prints them.

use burn::tensor::DType;
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions, TierRequest};
use maquette_kernels::bench::{Options, kernels, table_head};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tier = TierRequest::Auto;
    let mut options = Options { dtype: DType::F16, full: false, only: Vec::new() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "f16" => options.dtype = DType::F16,
            "f32" => options.dtype = DType::F32,
            "full" => options.full = true,
            "small" => options.full = false,
            other => match other.strip_prefix("only=") {
                Some(text) => options.only.push(text.to_string()),
                None => tier = other.parse()?,
            },
        }
    }
    let open = OpenOptions { tier, tasks_per_submit: 512, ..OpenOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default(), open))?;
    let facts = gpu.capabilities();
    println!("{} ({}), tier {}, {:?}", facts.name, facts.driver, facts.tier.name(), options.dtype);
    println!("{}", table_head());
    pollster::block_on(kernels(&gpu, &options, &mut |row| println!("{row}")))?;
    Ok(())
}

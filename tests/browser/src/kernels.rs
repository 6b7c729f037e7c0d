//! The kernels on the browser's own compiler and device.

use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
use maquette_kernels::{random_shapes, selfcheck};

use crate::Check;

/// Random shapes of each kernel.
const SHAPES: usize = 200;

pub(crate) async fn checks() -> Vec<Check> {
    let gpu = match Gpu::open(&AdapterChoice::default(), OpenOptions::default()).await {
        Ok(gpu) => gpu,
        Err(error) => return vec![Check::new("a device for the kernels", Err(error.to_string()))],
    };
    let mut checks = Vec::new();
    let mut lines = selfcheck(gpu.device()).await;
    lines.extend(random_shapes(gpu.device(), SHAPES).await);
    for line in lines {
        let detail = format!("error {:.1e}, at most {:.1e}", line.error, line.bound);
        checks.push(Check::new(line.name, if line.ok { Ok(detail) } else { Err(detail) }));
    }
    checks.push(Check::new(
        "the kernels left no fault behind",
        gpu.check().map(|()| String::new()).map_err(|e| e.to_string()),
    ));
    checks
}

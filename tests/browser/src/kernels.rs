//! The kernels on the browser's own compiler and device.

use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
use maquette_kernels::selfcheck;

use crate::Check;

pub(crate) async fn checks() -> Vec<Check> {
    let gpu = match Gpu::open(&AdapterChoice::default(), OpenOptions::default()).await {
        Ok(gpu) => gpu,
        Err(error) => return vec![Check::new("a device for the kernels", Err(error.to_string()))],
    };
    let mut checks = Vec::new();
    for line in selfcheck(gpu.device()).await {
        let detail = format!("error {:.1e}, at most {:.1e}", line.error, line.bound);
        checks.push(Check::new(line.name, if line.ok { Ok(detail) } else { Err(detail) }));
    }
    checks.push(Check::new(
        "the kernels left no fault behind",
        gpu.check().map(|()| String::new()).map_err(|e| e.to_string()),
    ));
    checks
}

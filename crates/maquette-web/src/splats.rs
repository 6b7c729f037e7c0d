//! Pictures of Gaussians, on the device while there is one.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::{DType, Tensor};
use js_sys::Uint8ClampedArray;
use maquette::maquette_gpu::Gpu;
use maquette::maquette_mesh::Gaussians;
use maquette::maquette_mesh::camera::{OrbitCamera, multiply};
use maquette::maquette_mesh::raster_gaussian::{GaussianView, render};
use maquette_kernels::splat::{GaussianTensors, render_gaussians};
use wasm_bindgen::JsValue;

use crate::failure::Failure;

/// Variance added to splats, in pixel², as the decoder was trained with.
const SPLAT_KERNEL: f32 = 0.1;
/// Longest side of a picture, in pixels.
const MAX_SIDE: u32 = 4096;

/// Gaussians that can be looked at.
#[derive(Clone)]
pub(crate) struct Splats {
    pub(crate) gaussians: Rc<Gaussians>,
    gpu: Option<Gpu>,
    uploaded: Rc<RefCell<Option<GaussianTensors>>>,
}

/// Where from.
pub(crate) struct Eye {
    pub(crate) size: [u32; 2],
    pub(crate) yaw: f64,
    pub(crate) pitch: f64,
    pub(crate) distance: f64,
}

impl Splats {
    /// Gaussians to be drawn by `gpu`, or by the processor without one.
    pub(crate) fn new(gaussians: Gaussians, gpu: Option<Gpu>) -> Self {
        Self { gaussians: Rc::new(gaussians), gpu, uploaded: Rc::default() }
    }

    /// RGBA, rows from the top, alpha not multiplied in.
    pub(crate) async fn picture(self, eye: Eye) -> Result<JsValue, Failure> {
        let view = eye.view()?;
        let (rgb, transmittance) = match &self.gpu {
            // A device that was lost since does not keep anybody from looking at what is there.
            Some(gpu) if gpu.check().is_ok() => self.drawn_by(gpu, &view).await?,
            _ => {
                let picture = render(&self.gaussians, &view)?;
                (picture.rgb, picture.transmittance)
            }
        };
        let plane = transmittance.len();
        let mut bytes = Vec::with_capacity(4 * plane);
        for (i, through) in transmittance.iter().enumerate() {
            let cover = (1.0 - through).clamp(0.0, 1.0);
            let scale = if cover > 0.0 { 255.0 / cover } else { 0.0 };
            // The casts cut at 0 and 255.
            bytes.extend([0, 1, 2].map(|channel| (rgb[channel * plane + i] * scale + 0.5) as u8));
            bytes.push((cover * 255.0 + 0.5) as u8);
        }
        Ok(Uint8ClampedArray::from(bytes.as_slice()).into())
    }

    async fn drawn_by(&self, gpu: &Gpu, view: &GaussianView) -> Result<(Vec<f32>, Vec<f32>), Failure> {
        let known = self.uploaded.borrow().clone();
        let tensors = match known {
            Some(tensors) => tensors,
            None => {
                let tensors = gpu.guard(|| GaussianTensors::upload(&self.gaussians, gpu.device()))??;
                self.uploaded.replace(Some(tensors.clone()));
                tensors
            }
        };
        let pictures = gpu.guard_async(render_gaussians(&tensors, std::slice::from_ref(view))).await??;
        Ok((read(gpu, pictures.rgb).await?, read(gpu, pictures.transmittance).await?))
    }
}

impl Eye {
    fn view(&self) -> Result<GaussianView, Failure> {
        let fits = self.size.iter().all(|side| (1..=MAX_SIDE).contains(side));
        let finite = [self.yaw, self.pitch, self.distance].iter().all(|value| value.is_finite());
        if !fits || !finite || self.distance < 0.1 {
            let came = format!("{:?} from {} {} {}", self.size, self.yaw, self.pitch, self.distance);
            let expected = format!("sides of 1 to {MAX_SIDE} pixels, finite angles and a distance of at least 0.1");
            return Err(Failure::Options(format!("expected {expected}, came {came}")));
        }
        let [width, height] = self.size;
        let camera = OrbitCamera { yaw: self.yaw, pitch: self.pitch, radius: self.distance, fov: 40f64.to_radians() };
        let tan = camera.tan_half_fov();
        // The field of view is that of the shorter side.
        let shorter = width.min(height) as f32;
        let stretch = [width as f32 / shorter, height as f32 / shorter];
        let mut projection = camera.projection((self.distance - 1.2).max(0.05), self.distance + 1.2);
        projection[0][0] /= stretch[0];
        projection[1][1] /= stretch[1];
        Ok(GaussianView {
            view: camera.view(),
            proj_view: multiply(&projection, &camera.view()),
            tan_half_fov: stretch.map(|by| tan * by),
            size: self.size,
            background: 0.0,
            kernel_size: SPLAT_KERNEL,
        })
    }
}

async fn read<const D: usize>(gpu: &Gpu, tensor: Tensor<D>) -> Result<Vec<f32>, Failure> {
    let failed =
        |message: String| Failure::Pipeline(maquette::Error::Network(maquette_models::Error::ReadBack(message)));
    let data = gpu.guard_async(tensor.cast(DType::F32).into_data_async()).await?;
    data.map_err(|e| failed(e.to_string()))?.try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))
}

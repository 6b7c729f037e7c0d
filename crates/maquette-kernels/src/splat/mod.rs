//! Gaussian splats: pictures of 3D Gaussians.
//!
//! The definition is [`maquette_mesh::raster_gaussian`] (EWA splatting with opacity compensation); it is also what runs on
//! the CPU tier. On a GPU: project, sort by depth, list the tiles of every splat, sort the list by tile (stable, so depth
//! order stays), blend every tile. The number of list entries is read back before the list is made, so that it always fits;
//! a list too long for one buffer is made and blended in bands of tile rows.

mod bands;
mod gpu;

use burn::tensor::{Device, Tensor};
use maquette_mesh::{
    Gaussians,
    raster_gaussian::{self, GaussianView, MAX_SIDE, Splat},
};

use crate::{
    Error,
    buffers::{Buffers, read_floats, upload_floats},
};

/// Gaussians on a device, with activated parameters as in [`Gaussians`], in f32.
#[derive(Clone, Debug)]
pub struct GaussianTensors {
    /// Centres in world coordinates `[N, 3]`.
    pub means: Tensor<2>,
    /// Standard deviations along the local axes `[N, 3]`.
    pub scales: Tensor<2>,
    /// Quaternions (w, x, y, z) `[N, 4]`.
    pub quats: Tensor<2>,
    /// Opacities `[N]`.
    pub opacities: Tensor<1>,
    /// Degree-0 colour coefficients `[N, 3]`.
    pub f_dc: Tensor<2>,
}

/// Pictures of a batch of views.
#[derive(Clone, Debug)]
pub struct SplatPictures {
    /// `[V, 3, H, W]`: views, red-green-blue, rows from the top, columns from the left. Not clamped.
    pub rgb: Tensor<4>,
    /// How much of the background shows through, `[V, H, W]`.
    pub transmittance: Tensor<3>,
    /// Number of (tile, Gaussian) pairs of every view.
    pub tile_entries: Vec<u64>,
}

impl GaussianTensors {
    /// Uploads Gaussians.
    ///
    /// # Errors
    /// [`Error::Scene`] for arrays of different lengths.
    pub fn upload(gaussians: &Gaussians, device: &Device) -> Result<Self, Error> {
        gaussians.validate()?;
        let n = gaussians.len();
        Ok(Self {
            means: upload_floats(gaussians.means.as_flattened().to_vec(), [n, 3], device),
            scales: upload_floats(gaussians.scales.as_flattened().to_vec(), [n, 3], device),
            quats: upload_floats(gaussians.quats.as_flattened().to_vec(), [n, 4], device),
            opacities: upload_floats(gaussians.opacities.clone(), [n], device),
            f_dc: upload_floats(gaussians.f_dc.as_flattened().to_vec(), [n, 3], device),
        })
    }

    /// Reads the Gaussians back.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn download(&self) -> Result<Gaussians, Error> {
        let rows3 = |x: Vec<f32>| x.as_chunks::<3>().0.to_vec();
        Ok(Gaussians {
            means: rows3(read_floats(self.means.clone()).await?),
            scales: rows3(read_floats(self.scales.clone()).await?),
            quats: read_floats(self.quats.clone()).await?.as_chunks::<4>().0.to_vec(),
            opacities: read_floats(self.opacities.clone()).await?,
            f_dc: rows3(read_floats(self.f_dc.clone()).await?),
        })
    }

    /// Number of Gaussians.
    pub fn len(&self) -> usize {
        self.means.dims()[0]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the shapes.
    ///
    /// # Errors
    /// [`Error::Lengths`] naming the tensor that differs.
    pub fn validate(&self) -> Result<(), Error> {
        let n = self.len();
        let shapes = [
            ("means, 3 a Gaussian", self.means.dims().to_vec(), vec![n, 3]),
            ("scales, 3 a Gaussian", self.scales.dims().to_vec(), vec![n, 3]),
            ("quats, 4 a Gaussian", self.quats.dims().to_vec(), vec![n, 4]),
            ("opacities, 1 a Gaussian", self.opacities.dims().to_vec(), vec![n]),
            ("f_dc, 3 a Gaussian", self.f_dc.dims().to_vec(), vec![n, 3]),
        ];
        match shapes.into_iter().find(|(_, got, expected)| got != expected) {
            Some((what, got, expected)) => {
                let (expected, got) = (expected.iter().product(), got.iter().product());
                Err(Error::Lengths { what, expected, got })
            }
            None => Ok(()),
        }
    }
}

/// Renders a batch of views of the same size.
///
/// # Errors
/// [`Error::Lengths`] for tensors that do not fit together; [`Error::OutOfRange`] for an impossible or differing picture
/// size, or pictures too large for one buffer of the device (render fewer views at once); [`Error::Read`].
pub async fn render_gaussians(gaussians: &GaussianTensors, views: &[GaussianView]) -> Result<SplatPictures, Error> {
    gaussians.validate()?;
    let [width, height] = common_size(views)?;
    let device = gaussians.means.device();
    match Buffers::on(&device) {
        Some(buffers) => gpu::render(&buffers, gaussians, views, [width, height]).await,
        None => {
            let scene = gaussians.download().await?;
            let (mut rgb, mut transmittance, mut tile_entries) = (Vec::new(), Vec::new(), Vec::new());
            for view in views {
                let image = raster_gaussian::render(&scene, view)?;
                rgb.extend(image.rgb);
                transmittance.extend(image.transmittance);
                tile_entries.push(image.tile_entries as u64);
            }
            let (w, h) = (width as usize, height as usize);
            Ok(SplatPictures {
                rgb: upload_floats(rgb, [views.len(), 3, h, w], &device),
                transmittance: upload_floats(transmittance, [views.len(), h, w], &device),
                tile_entries,
            })
        }
    }
}

/// Projects Gaussians without drawing them: what a view makes of each, for checks of the first stage.
///
/// # Errors
/// As [`render_gaussians`].
pub async fn project_gaussians(gaussians: &GaussianTensors, view: &GaussianView) -> Result<Vec<Splat>, Error> {
    gaussians.validate()?;
    common_size(std::slice::from_ref(view))?;
    match Buffers::on(&gaussians.means.device()) {
        Some(buffers) => gpu::project_only(&buffers, gaussians, view).await,
        None => {
            let scene = gaussians.download().await?;
            Ok((0..scene.len()).map(|i| raster_gaussian::project(&scene, i, view)).collect())
        }
    }
}

/// The pictures as bytes, `trunc(clip(255 x))` as the reference's frames: `[V, H, W, 3]`, rows from the top.
///
/// # Errors
/// [`Error::Read`].
pub async fn picture_bytes(pictures: &SplatPictures) -> Result<Vec<u8>, Error> {
    let [views, _, height, width] = pictures.rgb.dims();
    let values = read_floats(pictures.rgb.clone()).await?;
    let pixels = height * width;
    let byte = |view: usize, pixel: usize, channel: usize| -> u8 {
        let value = values.get((view * 3 + channel) * pixels + pixel).copied().unwrap_or(0.0);
        // The cast cuts at 0 and 255 and takes NaN as 0.
        (value * 255.0) as u8
    };
    let places = (0..views).flat_map(|view| (0..pixels).map(move |pixel| (view, pixel)));
    Ok(places.flat_map(|(view, pixel)| [0, 1, 2].map(|channel| byte(view, pixel, channel))).collect())
}

fn common_size(views: &[GaussianView]) -> Result<[u32; 2], Error> {
    let Some(first) = views.first() else {
        return Err(Error::OutOfRange { what: "views", detail: "expected at least one, got none".into() });
    };
    for view in views {
        let [width, height] = view.size;
        if view.size != first.size || !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            let detail = format!("{width} x {height}; expected 1 to {MAX_SIDE} a side, equal in all views of a batch");
            return Err(Error::OutOfRange { what: "picture size", detail });
        }
    }
    Ok(first.size)
}

//! Texture baking: the texture of a mesh from pictures of the object.
//!
//! Minimised is the loss of the reference's optimisation ([`maquette_mesh::bake::photometric_loss`] averaged over the views,
//! plus 0.01 × [`maquette_mesh::bake::total_variation`]): least absolute differences with a linear model (trilinear
//! samples). The solver majorises: around the present texture every |r| lies below a parabola with weight 1 / max(|r|, ε),
//! and, because the weights of a sample's texels add up to 1, the sum of the parabolas lies below a separable one, whose
//! minimum is one division a texel. The first pass (weight 1) is the weighted back-projection; then passes that step after
//! every third of the views, then whole passes; each step looks ahead with momentum, and ε shrinks with the residuals.
//! 26 passes over a hundred views, more over fewer, come closer to a known texture than the reference's 2,500 Adam steps. The
//! order is fixed and sums
//! are whole numbers: results repeat.
//!
//! Pixels count where the mesh is and the picture, on black, is not 0. (The reference also counts pixels beside the mesh:
//! they pull the texel at (0, 0).) Textures have row 0 at v = 0.

mod back_projector;
mod cpu;
mod gpu;
mod plan;

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor};
use maquette_mesh::bake::{FloatTexture, MipTexture, dilate};

pub use back_projector::{BackProjector, ProjectionCamera};
pub use plan::{BakePlan, BakeProgress, PassPlan};

use crate::{
    Error,
    buffers::{Buffers, read_floats, upload_floats},
    mesh_raster::{CoordinatePictures, FacePictures},
    splat::SplatPictures,
};

/// Smallest and largest side of a texture.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=8192;

/// Least sum of sample weights (1 = one pixel says everything about the texel) below which a texel counts as unseen: pixels
/// at grazing angles sample levels so coarse that they touch the whole atlas.
pub const LEAST_SEEN: f32 = 0.02;

/// Colours of a batch of pictures as bytes, a quarter of the pictures' memory.
#[derive(Clone, Debug)]
pub struct PictureColors {
    /// `[V, H, W]` of type U32, row 0 at the bottom: red in the lowest byte; 0 where nothing is.
    words: Tensor<3, Int>,
}

impl PictureColors {
    /// Of pictures `[V, 3, H, W]` on black, row 0 at the **top**. Values are cut to bytes, as the reference's frames.
    ///
    /// # Errors
    /// [`Error::Lengths`] unless there are three channels; [`Error::Read`].
    pub async fn of_pictures(rgb: &Tensor<4>) -> Result<Self, Error> {
        Self::pack(rgb, None).await
    }

    /// Of the surface that splats on black show: their colours divided by how much they cover, rounded to bytes and at least
    /// one step bright. Pixels covered by no more than `least_cover` are nothing.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn of_splats(pictures: &SplatPictures, least_cover: f32) -> Result<Self, Error> {
        Self::pack(&pictures.rgb, Some((&pictures.transmittance, least_cover))).await
    }

    async fn pack(rgb: &Tensor<4>, cover: Option<(&Tensor<3>, f32)>) -> Result<Self, Error> {
        let channels = rgb.dims()[1];
        if channels != 3 {
            return Err(Error::Lengths { what: "channels of a picture", expected: 3, got: channels });
        }
        let words = match Buffers::on(&rgb.device()) {
            Some(buffers) => gpu::pack(&buffers, rgb, cover)?,
            None => cpu::pack(rgb, cover).await?,
        };
        Ok(Self { words })
    }
}

/// Observed pixels with their places in the texture, collected view by view.
pub struct Observations {
    size: usize,
    device: Device,
    store: Store,
}

enum Store {
    Gpu(Box<Buffers>, Vec<gpu::Batch>),
    Cpu(Vec<cpu::View>),
}

/// A baked texture on a device.
#[derive(Clone, Debug)]
pub struct BakedTexture {
    /// `[S, S, 3]`, row 0 at v = 0, not clamped.
    pub texels: Tensor<3>,
    /// How much the views say about each texel `[S, S]`, in pixels; below [`LEAST_SEEN`] it is a guess.
    pub seen: Tensor<2>,
    /// Mean absolute difference between the textured mesh and the observations (mean over views).
    pub photometric: f64,
    /// Total variation of the texture.
    pub variation: f64,
    /// `photometric + smoothness · variation`.
    pub loss: f64,
}

impl Observations {
    /// Nothing observed yet, for a texture of `size`² texels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a size that is no power of two in [`SIDES`], or too large for the device's buffers.
    pub fn new(size: usize, device: &Device) -> Result<Self, Error> {
        if !size.is_power_of_two() || !SIDES.contains(&size) {
            let detail = format!("{size}, expected a power of two from {} to {}", SIDES.start(), SIDES.end());
            return Err(Error::OutOfRange { what: "texture size", detail });
        }
        let store = match Buffers::on(device) {
            Some(buffers) => {
                gpu::check_size(&buffers, size)?;
                Store::Gpu(Box::new(buffers), Vec::new())
            }
            None => Store::Cpu(Vec::new()),
        };
        Ok(Self { size, device: device.clone(), store })
    }

    /// Adds a batch of views: pictures of the object and the mesh drawn from the same cameras (row 0 at the bottom).
    ///
    /// # Errors
    /// [`Error::Lengths`] for pictures of different shapes; [`Error::OutOfRange`] if one buffer cannot hold the batch's
    /// samples (add fewer views at once); [`Error::Read`].
    pub async fn add(
        &mut self,
        colors: &PictureColors,
        faces: &FacePictures,
        coordinates: &CoordinatePictures,
    ) -> Result<(), Error> {
        let [views, height, width] = colors.words.dims();
        let pixels = views * height * width;
        let rows = [
            ("pixels of the drawn mesh", faces.ids.dims().iter().product(), pixels),
            ("texture coordinates", coordinates.uv.dims().iter().product::<usize>() / 2, pixels),
            ("rows of the drawn mesh", faces.ids.dims()[1], height),
            ("rows of texture coordinates", coordinates.uv.dims()[1], height),
        ];
        if let Some((what, got, expected)) = rows.into_iter().find(|(_, got, expected)| got != expected) {
            return Err(Error::Lengths { what, expected, got });
        }
        if pixels == 0 {
            return Ok(());
        }
        match &mut self.store {
            Store::Gpu(buffers, batches) => {
                batches.push(gpu::collect(buffers, self.size, &colors.words, faces, coordinates).await?);
            }
            Store::Cpu(seen) => seen.extend(cpu::collect(&colors.words, faces, coordinates).await?),
        }
        Ok(())
    }

    /// Number of observed pixels.
    pub fn len(&self) -> usize {
        match &self.store {
            Store::Gpu(_, batches) => batches.iter().map(gpu::Batch::len).sum(),
            Store::Cpu(views) => views.iter().map(|view| view.colors.len()).sum(),
        }
    }

    /// Whether no pixel was observed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds the texture. `on_pass` hears of every pass over the views and may end the work early, with the texture so far.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without any observed pixel; [`Error::Read`].
    pub async fn solve(
        &self,
        plan: &BakePlan,
        on_pass: &mut dyn FnMut(&BakeProgress) -> ControlFlow<()>,
    ) -> Result<BakedTexture, Error> {
        if self.is_empty() {
            let detail = "no pixel shows both the object and the mesh; check masks and cameras".to_string();
            return Err(Error::OutOfRange { what: "observations", detail });
        }
        match &self.store {
            Store::Gpu(buffers, batches) => gpu::solve(buffers, self.size, batches, plan, on_pass).await,
            Store::Cpu(views) => cpu::solve(self.size, views, plan, on_pass, &self.device),
        }
    }
}

impl BakedTexture {
    /// Reads the texture back and fills the texels that no view says much about: `rings` texels outwards from the seen
    /// ones by neighbours' means, the rest from coarser means.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn into_texture(self, rings: usize) -> Result<FloatTexture, Error> {
        let [height, width, _] = self.texels.dims();
        let texels = read_floats(self.texels).await?.as_chunks::<3>().0.to_vec();
        let covered: Vec<bool> = read_floats(self.seen).await?.into_iter().map(|seen| seen >= LEAST_SEEN).collect();
        let mut texture = FloatTexture { width, height, texels };
        dilate(&mut texture, &covered, rings);
        Ok(texture)
    }
}

/// The texture `[S, S, 3]` sampled at every pixel of pictures, trilinearly and wrapping around: `[V, H, W, 3]`. Pixels
/// without a face have the colour at (0, 0).
///
/// # Errors
/// [`Error::OutOfRange`] for a texture that is no square with a side in [`SIDES`]; [`Error::Read`].
pub async fn sample_texture(texture: &Tensor<3>, coordinates: &CoordinatePictures) -> Result<Tensor<4>, Error> {
    let [height, width, channels] = texture.dims();
    if height != width || channels != 3 || !width.is_power_of_two() || !SIDES.contains(&width) {
        let detail = format!("[{height}, {width}, {channels}], expected [S, S, 3], S a power of two");
        return Err(Error::OutOfRange { what: "texture", detail });
    }
    let [views, rows, columns, _] = coordinates.uv.dims();
    let device = texture.device();
    if let Some(buffers) = Buffers::on(&device) {
        return gpu::sample_texture(&buffers, texture, coordinates);
    }
    let texels = read_floats(texture.clone()).await?.as_chunks::<3>().0.to_vec();
    let chain = MipTexture::new(FloatTexture { width, height, texels })?;
    let uv = read_floats(coordinates.uv.clone()).await?;
    let change = read_floats(coordinates.derivatives.clone()).await?;
    let places = uv.as_chunks::<2>().0.iter().zip(change.as_chunks::<4>().0);
    let colors: Vec<f32> = places.flat_map(|(uv, d)| chain.sample(*uv, d)).collect();
    Ok(upload_floats(colors, [views, rows, columns, 3], &device))
}

#[cfg(test)]
mod tests {
    use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
    use pollster::block_on;

    use super::*;
    use crate::buffers::read_words;

    #[test]
    fn bytes_of_pictures_are_the_same_on_both_tiers_and_turned_over() {
        let noise = |i: usize| (i as f32 * 0.618).fract();
        let bytes = |device: &Device, least: Option<f32>| {
            let rgb = upload_floats((0..2 * 3 * 35).map(|i| 1.4 * noise(i) - 0.2).collect(), [2, 3, 7, 5], device);
            let transmittance = upload_floats((0..2 * 35).map(|i| noise(i + 9)).collect(), [2, 7, 5], device);
            let colors = match least {
                Some(least) => {
                    let pictures = SplatPictures { rgb, transmittance, tile_entries: vec![0, 0] };
                    block_on(PictureColors::of_splats(&pictures, least))
                }
                None => block_on(PictureColors::of_pictures(&rgb)),
            };
            let words = block_on(read_words(colors.expect("three channels").words)).expect("readable");
            words.into_iter().map(u32::to_le_bytes).collect::<Vec<[u8; 4]>>()
        };
        let cpu = Gpu::cpu();
        let plain = bytes(cpu.device(), None);
        // The first word is the last row's first pixel.
        assert_eq!(plain[0][0], ((1.4 * noise(30) - 0.2) * 255.0) as u8);
        let splats = bytes(cpu.device(), Some(0.5));
        let seen = splats.iter().filter(|b| **b != [0; 4]).count();
        assert!((20..50).contains(&seen) && splats.iter().all(|b| *b == [0; 4] || b[..3].iter().all(|x| *x > 0)));
        let Ok(gpu) = block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) else { return };
        for (least, expected) in [(None, plain), (Some(0.5), splats)] {
            // Division and products may differ in the last bit, bytes then by one.
            let near = |(a, b): (&[u8; 4], &[u8; 4])| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1);
            assert!(bytes(gpu.device(), least).iter().zip(&expected).all(near), "{least:?}");
        }
    }
}

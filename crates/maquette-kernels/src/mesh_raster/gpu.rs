//! The stages of drawing meshes on a GPU.

use burn::tensor::{Int, Tensor};
use burn_cubecl::tensor::CubeTensor;
use maquette_mesh::camera::Matrix4;

use super::{CoordinatePictures, FacePictures, Faces};
use crate::{
    Error,
    buffers::{Buffers, LANES, int_tensor, run, upload_floats, upload_words, words_of},
    scan::scan,
    wgsl::{cube_f32, tensor},
};

/// Side of the pixel blocks that invocations take (`raster/cover.wgsl`).
const BLOCK: u64 = 8;
/// Most workgroups that walk over the blocks; how many blocks there are is known on the device only.
const WALKERS: usize = 2048;
/// Memory for pictures and flags of views that are drawn together when visibility is counted.
const VISIBLE_BYTES: usize = 128 << 20;

fn elsewhere() -> Error {
    Error::Read { message: "the mesh's tensors are not on the GPU that draws them".into() }
}

pub(super) fn transform_corners(
    buffers: &Buffers,
    positions: &Tensor<2>,
    matrices: &[Matrix4],
) -> Result<Tensor<3>, Error> {
    let (corners, views) = (positions.dims()[0], matrices.len());
    buffers.fits("clip-space corners", &[views, corners, 4])?;
    let flat: Vec<f32> = matrices.iter().flat_map(|m| m.as_flattened().to_vec()).collect();
    let matrices = cube_f32(&upload_floats(flat, [views, 16], &positions.device())).ok_or_else(elsewhere)?;
    let positions = cube_f32(positions).ok_or_else(elsewhere)?;
    let clip = buffers.floats([views, corners, 4]);
    let info = vec![corners as u32, views as u32];
    run("raster_transform", &[], &[&positions, &matrices, &clip], info, (views * corners).div_ceil(LANES));
    Ok(tensor(clip))
}

/// Faces and clip-space corners as buffers.
struct Scene {
    clip: CubeTensor,
    faces: CubeTensor,
    views: usize,
    count: usize,
    corners: usize,
}

/// A run of items (a face of a view) with its blocks counted.
struct Run {
    first: usize,
    length: usize,
    offsets: CubeTensor,
}

impl Scene {
    fn new(clip: &Tensor<3>, faces: &Faces) -> Result<Self, Error> {
        Ok(Self {
            views: clip.dims()[0],
            count: faces.len(),
            corners: faces.corners(),
            clip: cube_f32(clip).ok_or_else(elsewhere)?,
            faces: words_of(faces.indices()).ok_or_else(elsewhere)?,
        })
    }

    /// Face index + 1 of every pixel, `views · height · width` words.
    fn cover(&self, buffers: &Buffers, size: [u32; 2]) -> CubeTensor {
        let pixels = self.views * size[0] as usize * size[1] as usize;
        let ids = buffers.ramp(pixels, 0, 0);
        let items = self.views * self.count;
        if items == 0 {
            return ids;
        }
        let depths = buffers.ramp(pixels, u32::MAX, 0);
        let dummy = buffers.words(1);
        let info = |pass: u32, length: usize, first: usize| {
            vec![pass, self.count as u32, length as u32, size[0], size[1], self.corners as u32, first as u32]
        };
        // Even if every face of a run covered its whole picture, its blocks could be counted in 32 bits.
        let blocks_of_picture: u64 = size.iter().map(|side| u64::from(*side).div_ceil(BLOCK)).product();
        let most = (u64::from(u32::MAX) / blocks_of_picture) as usize;
        let count = |first: usize| {
            let length = most.min(items - first);
            let blocks = buffers.words(length);
            let bound = [&self.clip, &self.faces, &blocks, &dummy, &depths, &ids];
            run("raster_cover", &[], &bound, info(0, length, first), length.div_ceil(LANES));
            Run { first, length, offsets: scan(buffers, &blocks, length) }
        };
        let runs: Vec<Run> = (0..items).step_by(most).map(count).collect();
        for pass in [1, 2] {
            for part in &runs {
                let bound = [&self.clip, &self.faces, &dummy, &part.offsets, &depths, &ids];
                let walkers = (part.length.div_ceil(LANES) * 2).clamp(64, WALKERS);
                run("raster_cover", &[], &bound, info(pass, part.length, part.first), walkers);
            }
        }
        ids
    }
}

pub(super) fn rasterise(
    buffers: &Buffers,
    clip: &Tensor<3>,
    faces: &Faces,
    size: [u32; 2],
) -> Result<FacePictures, Error> {
    let scene = Scene::new(clip, faces)?;
    let (views, [w, h]) = (scene.views, size.map(|side| side as usize));
    buffers.fits("mesh pictures", &[views, w, h, 2])?;
    buffers.fits("faces of all views", &[views, scene.count])?;
    let ids = scene.cover(buffers, size);
    let (bary, depth) = (buffers.floats([views, h, w, 2]), buffers.floats([views, h, w]));
    let info = vec![views as u32, size[0], size[1], scene.corners as u32];
    let groups = (views * w * h).div_ceil(LANES);
    // A kernel must see every buffer, also one of no face.
    let list = if scene.count == 0 { &buffers.words(1) } else { &scene.faces };
    let corners = if scene.corners == 0 { &buffers.words(1) } else { &scene.clip };
    run("raster_weights", &[], &[corners, list, &ids, &bary, &depth], info, groups);
    let ids = int_tensor::<1>(ids).reshape([views, h, w]);
    Ok(FacePictures { ids, bary: tensor(bary), depth: tensor(depth), clip: clip.clone(), faces: faces.clone() })
}

pub(super) fn texture_coordinates(
    buffers: &Buffers,
    pictures: &FacePictures,
    uvs: &Tensor<2>,
) -> Result<CoordinatePictures, Error> {
    let [views, w, h] = pictures.shape();
    buffers.fits("texture coordinate pictures", &[views, w, h, 4])?;
    let (uv, derivatives) = (buffers.floats([views, h, w, 2]), buffers.floats([views, h, w, 4]));
    if pictures.faces.is_empty() {
        buffers.fill(&uv, views * w * h * 2, 0, 0);
        buffers.fill(&derivatives, views * w * h * 4, 0, 0);
        return Ok(CoordinatePictures { uv: tensor(uv), derivatives: tensor(derivatives) });
    }
    let scene = Scene::new(&pictures.clip, &pictures.faces)?;
    let ids = words_of(&pictures.ids).ok_or_else(elsewhere)?;
    let bary = cube_f32(&pictures.bary).ok_or_else(elsewhere)?;
    let uvs = cube_f32(uvs).ok_or_else(elsewhere)?;
    let info = vec![views as u32, w as u32, h as u32, scene.corners as u32];
    let bound = [&scene.clip, &scene.faces, &uvs, &ids, &bary, &uv, &derivatives];
    run("raster_coordinates", &[], &bound, info, (views * w * h).div_ceil(LANES));
    Ok(CoordinatePictures { uv: tensor(uv), derivatives: tensor(derivatives) })
}

pub(super) fn interpolate(
    buffers: &Buffers,
    pictures: &FacePictures,
    attributes: &Tensor<2>,
) -> Result<Tensor<4>, Error> {
    let ([views, w, h], channels) = (pictures.shape(), attributes.dims()[1]);
    buffers.fits("attribute pictures", &[views, w, h, channels])?;
    let y = buffers.floats([views, h, w, channels]);
    if pictures.faces.is_empty() || channels == 0 {
        buffers.fill(&y, views * w * h * channels, 0, 0);
        return Ok(tensor(y));
    }
    let attributes = cube_f32(attributes).ok_or_else(elsewhere)?;
    let faces = words_of(pictures.faces.indices()).ok_or_else(elsewhere)?;
    let ids = words_of(&pictures.ids).ok_or_else(elsewhere)?;
    let bary = cube_f32(&pictures.bary).ok_or_else(elsewhere)?;
    let info = vec![(views * w * h) as u32, channels as u32];
    run("raster_interpolate", &[], &[&attributes, &faces, &ids, &bary, &y], info, (views * w * h).div_ceil(LANES));
    Ok(tensor(y))
}

pub(super) fn count_visible(
    buffers: &Buffers,
    positions: &Tensor<2>,
    faces: &Faces,
    matrices: &[Matrix4],
    size: [u32; 2],
) -> Result<Tensor<1, Int>, Error> {
    let (pixels, count) = (size[0] as usize * size[1] as usize, faces.len());
    if count == 0 {
        return Ok(upload_words(Vec::new(), [0], &positions.device()));
    }
    let counts = buffers.ramp(count, 0, 0);
    let at_once = (VISIBLE_BYTES / (8 * pixels + 4 * count + 16 * faces.corners()).max(1)).max(1);
    buffers.fits("mesh picture", &[pixels])?;
    for matrices in matrices.chunks(at_once) {
        let views = matrices.len();
        let scene = Scene::new(&transform_corners(buffers, positions, matrices)?, faces)?;
        let ids = scene.cover(buffers, size);
        let flags = buffers.ramp(views * count, 0, 0);
        let info = vec![views as u32, pixels as u32, count as u32];
        run("raster_mark_visible", &[], &[&ids, &flags], info, (views * pixels).div_ceil(LANES));
        run("raster_count_visible", &[], &[&flags, &counts], vec![views as u32, count as u32], count.div_ceil(LANES));
    }
    Ok(int_tensor(counts))
}

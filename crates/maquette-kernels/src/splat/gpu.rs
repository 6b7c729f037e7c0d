//! The stages of splatting on a GPU.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use maquette_mesh::raster_gaussian::{GaussianView, Splat, TILE};

use super::{GaussianTensors, SplatPictures, bands::Band};
use crate::{
    Error,
    buffers::{Buffers, LANES, int_tensor, read_words, run},
    scan::scan,
    sort::radix_sort,
    wgsl::{cube_f32, tensor},
};

/// Words of a projected Gaussian (`splat/project.wgsl`).
const SPLAT_WORDS: usize = 16;
/// Memory for the splats of views that are projected before their counts are read back together.
const PROJECTED_BYTES: usize = 256 << 20;

/// The five parameter tensors as buffers.
struct Scene {
    parameters: [CubeTensor; 5],
    count: usize,
}

/// A view's Gaussians after projection.
struct Projected {
    splats: CubeTensor,
    /// Gaussian indices by depth.
    order: CubeTensor,
}

/// The entries of a band of a view.
struct Listed {
    band: Band,
    /// Entries before each splat of the order, and their number.
    offsets: CubeTensor,
}

impl Scene {
    fn new(gaussians: &GaussianTensors) -> Result<Self, Error> {
        let parameters = [
            cube_f32(&gaussians.means),
            cube_f32(&gaussians.scales),
            cube_f32(&gaussians.quats),
            cube_f32(&gaussians.opacities),
            cube_f32(&gaussians.f_dc),
        ];
        let [Some(a), Some(b), Some(c), Some(d), Some(e)] = parameters else {
            return Err(Error::Read { message: "the Gaussians' tensors are not on the GPU that renders them".into() });
        };
        Ok(Self { parameters: [a, b, c, d, e], count: gaussians.len() })
    }

    /// Splat records and depth keys of a view.
    fn project(&self, buffers: &Buffers, view: &GaussianView) -> [CubeTensor; 2] {
        let (splats, keys) = (buffers.words(self.count * SPLAT_WORDS), buffers.words(self.count));
        let [tx, ty] = view.tan_half_fov.map(f32::to_bits);
        let mut info = vec![self.count as u32, view.size[0], view.size[1], tx, ty, view.kernel_size.to_bits(), 0, 0];
        info.extend(view.view[..3].as_flattened().iter().map(|x| x.to_bits()));
        info.extend([0, 1, 3].iter().flat_map(|row| view.proj_view[*row]).map(f32::to_bits));
        let [means, scales, quats, opacities, f_dc] = &self.parameters;
        let bound = [means, scales, quats, opacities, f_dc, &splats, &keys];
        run("splat_project", &[], &bound, info, self.count.div_ceil(LANES));
        [splats, keys]
    }

    fn project_in_order(&self, buffers: &Buffers, view: &GaussianView) -> Projected {
        let [splats, keys] = self.project(buffers, view);
        let (_, order) = radix_sort(buffers, keys, buffers.ramp(self.count, 0, 1), self.count, 32);
        Projected { splats, order }
    }

    fn list(&self, buffers: &Buffers, projected: &Projected, band: Band) -> Listed {
        let counts = buffers.words(self.count);
        let info = vec![self.count as u32, band.first, band.end];
        let groups = self.count.div_ceil(LANES);
        run("splat_counts", &[], &[&projected.order, &projected.splats, &counts], info, groups);
        Listed { band, offsets: scan(buffers, &counts, self.count) }
    }
}

pub(super) async fn project_only(
    buffers: &Buffers,
    gaussians: &GaussianTensors,
    view: &GaussianView,
) -> Result<Vec<Splat>, Error> {
    if gaussians.is_empty() {
        return Ok(Vec::new());
    }
    let [splats, _] = Scene::new(gaussians)?.project(buffers, view);
    let words = read_words::<1>(int_tensor(splats)).await?;
    let splat = |w: &[u32; SPLAT_WORDS]| {
        let f = w.map(f32::from_bits);
        // The exponent in squares, i·x² + w·(y + k·x)², multiplied out.
        let [slope, along, across] = [f[2], f[3], f[4]];
        let conic = [-2.0 * (along + across * slope * slope), -2.0 * across * slope, -2.0 * across];
        Splat {
            depth: f[6],
            mean: [f[0], f[1]],
            conic,
            opacity: f[5],
            radius: f[7] as i32,
            tiles: [w[12], w[13], w[14], w[15]],
        }
    };
    Ok(words.as_chunks::<SPLAT_WORDS>().0.iter().map(splat).collect())
}

pub(super) async fn render(
    buffers: &Buffers,
    gaussians: &GaussianTensors,
    views: &[GaussianView],
    size: [u32; 2],
) -> Result<SplatPictures, Error> {
    let [w, h] = size.map(|side| side as usize);
    let most = buffers.most_words;
    buffers.fits("pictures of splats", &[views.len(), 3, w, h])?;
    buffers.fits("projected Gaussians", &[gaussians.len(), SPLAT_WORDS])?;
    let rgb = buffers.floats([views.len(), 3, h, w]);
    let transmittance = buffers.floats([views.len(), h, w]);
    let mut tile_entries = Vec::with_capacity(views.len());
    let scene = Scene::new(gaussians)?;
    let picture = Picture { size, rgb, transmittance };
    if scene.count == 0 {
        for (at, view) in views.iter().enumerate() {
            picture.paint_empty(buffers, view, at);
        }
        return Ok(picture.finish(vec![0; views.len()]));
    }
    let at_once = (PROJECTED_BYTES / (scene.count * SPLAT_WORDS * 4)).clamp(1, 64);
    for (chunk, views) in views.chunks(at_once).enumerate() {
        let projected: Vec<Projected> = views.iter().map(|view| scene.project_in_order(buffers, view)).collect();
        let mut entries = vec![0u64; views.len()];
        let whole = Band::countable(picture.tiles()[1], picture.tiles()[0], scene.count as u64);
        let mut waiting: Vec<(usize, Band)> =
            (0..views.len()).flat_map(|view| whole.iter().map(move |band| (view, *band))).collect();
        // One read-back for all views; again only for bands that turn out too long for one buffer.
        while !waiting.is_empty() {
            let listed: Vec<(usize, Listed)> =
                waiting.iter().map(|(view, band)| (*view, scene.list(buffers, &projected[*view], *band))).collect();
            let totals = totals(buffers, &listed, scene.count).await?;
            waiting.clear();
            for ((view, list), total) in listed.into_iter().zip(totals) {
                if u64::from(total) > most {
                    let Some(halves) = list.band.halves() else {
                        let detail = format!("{total} entries in one row of tiles, the device can hold {most}");
                        return Err(Error::OutOfRange { what: "tile entries", detail });
                    };
                    waiting.extend(halves.map(|half| (view, half)));
                    continue;
                }
                entries[view] += u64::from(total);
                let at = chunk * at_once + view;
                picture.paint(buffers, &projected[view], &list, total as usize, &views[view], at, scene.count);
            }
        }
        tile_entries.extend(entries);
    }
    Ok(picture.finish(tile_entries))
}

/// The number of entries of every list, read back at once.
async fn totals(buffers: &Buffers, listed: &[(usize, Listed)], count: usize) -> Result<Vec<u32>, Error> {
    let last = buffers.ramp(1, count as u32, 0);
    let totals: Vec<_> =
        listed.iter().map(|(_, list)| int_tensor::<1>(buffers.gather(&list.offsets, &last, 1))).collect();
    read_words(burn::tensor::Tensor::cat(totals, 0)).await
}

/// Where the pictures of a batch are painted.
struct Picture {
    size: [u32; 2],
    rgb: CubeTensor,
    transmittance: CubeTensor,
}

impl Picture {
    /// Columns and rows of tiles.
    fn tiles(&self) -> [u32; 2] {
        self.size.map(|side| side.div_ceil(TILE))
    }

    fn finish(self, tile_entries: Vec<u64>) -> SplatPictures {
        debug_assert_eq!(self.rgb.dtype, DType::F32);
        SplatPictures { rgb: tensor(self.rgb), transmittance: tensor(self.transmittance), tile_entries }
    }

    fn paint(
        &self,
        buffers: &Buffers,
        projected: &Projected,
        list: &Listed,
        total: usize,
        view: &GaussianView,
        at: usize,
        count: usize,
    ) {
        let [columns, _] = self.tiles();
        let band = list.band;
        let tiles = (columns * (band.end - band.first)) as usize;
        let (starts, gaussians) = if total == 0 {
            (buffers.ramp(tiles + 1, 0, 0), buffers.words(1))
        } else {
            let (places, gaussians) = (buffers.words(total), buffers.words(total));
            let info = vec![count as u32, band.first, band.end, total as u32, columns];
            let bound = [&projected.order, &projected.splats, &list.offsets, &places, &gaussians];
            run("splat_entries", &[], &bound, info, total.div_ceil(LANES));
            let bits = (tiles as u32).next_power_of_two().trailing_zeros().max(1);
            let (places, gaussians) = radix_sort(buffers, places, gaussians, total, bits);
            let starts = buffers.words(tiles + 1);
            let info = vec![total as u32, tiles as u32 + 1];
            run("splat_starts", &[], &[&places, &starts], info, (tiles + 1).div_ceil(64));
            (starts, gaussians)
        };
        let background = view.background.to_bits();
        let info = vec![self.size[0], self.size[1], band.first, tiles as u32, columns, background, at as u32];
        let bound = [&starts, &gaussians, &projected.splats, &self.rgb, &self.transmittance];
        run("splat_blend", &[], &bound, info, tiles);
    }

    /// A picture of nothing.
    fn paint_empty(&self, buffers: &Buffers, view: &GaussianView, at: usize) {
        let [_, rows] = self.tiles();
        let nothing = Projected { splats: buffers.words(SPLAT_WORDS), order: buffers.words(1) };
        let list = Listed { band: Band { first: 0, end: rows }, offsets: buffers.words(1) };
        self.paint(buffers, &nothing, &list, 0, view, at, 0);
    }
}

#[cfg(test)]
mod tests {
    use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
    use maquette_mesh::{
        Gaussians,
        camera::{OrbitCamera, multiply},
    };
    use pollster::block_on;

    use super::*;
    use crate::buffers::read_floats;

    /// Splats that cover most of the picture each.
    fn large_splats(n: usize) -> Gaussians {
        let wave = |i: usize, k: usize| ((i * 7 + k * 13) as f32 * 0.618).fract() - 0.5;
        Gaussians {
            means: (0..n).map(|i| [wave(i, 0), wave(i, 1), wave(i, 2)]).collect(),
            scales: vec![[0.3, 0.25, 0.2]; n],
            quats: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacities: vec![0.02; n],
            f_dc: (0..n).map(|i| [4.0 * wave(i, 3), wave(i, 4), wave(i, 5)]).collect(),
        }
    }

    #[test]
    fn lists_beyond_a_buffer_are_painted_in_bands_without_loss() {
        let Ok(gpu) = block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) else { return };
        let gaussians = GaussianTensors::upload(&large_splats(2000), gpu.device()).expect("valid");
        let camera = OrbitCamera::hammersley(3, 7);
        let view = GaussianView {
            view: camera.view(),
            proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
            tan_half_fov: [camera.tan_half_fov(); 2],
            size: [96, 96],
            background: 0.5,
            kernel_size: 0.1,
        };
        let pictures = |most_words: Option<u64>| {
            let mut buffers = Buffers::on(gpu.device()).expect("a GPU");
            buffers.most_words = most_words.unwrap_or(buffers.most_words);
            let views = [view.clone(), GaussianView { background: 0.0, ..view.clone() }];
            let pictures = block_on(render(&buffers, &gaussians, &views, view.size))?;
            let rgb = block_on(read_floats(pictures.rgb))?;
            Ok::<_, Error>((rgb, pictures.tile_entries))
        };
        // Two pictures are 55,296 words.
        let (whole, entries) = pictures(None).expect("fits");
        assert!(entries[0] > 55_296, "{entries:?} entries would fit");
        let limited = pictures(Some(55_296)).expect("in bands");
        assert_eq!(limited, (whole, entries));
    }
}

//! Pictures of triangle meshes, texture samples and their gradient.

use super::comparison::{Comparison, differences, largest, unequal};
use super::{Tensors, floats, hash_unit, integers, integers_of, places, rows, rows_of, size};
use crate::bake::{FloatTexture, MipTexture};
use crate::raster_antialias::antialias;
use crate::raster_mesh::{FaceImage, UvImage, layout_positions, rasterize};
use crate::{MeshError, raster_gaussian::MAX_SIDE};

/// Faces at the end of the scene that are not in the atlas: they test clipping.
const UNMAPPED_FACES: usize = 4;
/// Side of the picture of the atlas.
const LAYOUT_SIDE: u32 = 128;
/// Seed of the weights that the gradient was taken with.
const GRADIENT_SEED: u64 = 99;

/// A mesh seen by one camera, its texture, and what the reference drew, sampled and blended. Row 0 = bottom.
#[derive(Debug, Clone)]
pub struct MeshReference {
    /// Clip-space corners.
    pub clip: Vec<[f32; 4]>,
    /// Faces.
    pub faces: Vec<[u32; 3]>,
    /// Texture coordinates, one a corner.
    pub uvs: Vec<[f32; 2]>,
    /// Width and height.
    pub size: [u32; 2],
    /// The texture, row 0 at v = 0.
    pub texture: FloatTexture,
    /// Where the texture was sampled: coordinates and derivatives of the listed pixels.
    pub places: Vec<([f32; 2], [f32; 4])>,
    ids: Vec<u32>,
    /// Pixels that the following lists speak of: the covered ones, or some of them.
    listed: Vec<usize>,
    bary: Vec<[f32; 2]>,
    depth: Vec<f32>,
    samples: Vec<[f32; 3]>,
    /// The colour picture, as far as the file has it: pixels without a face are black.
    colors: Vec<Option<[f32; 3]>>,
    outside: [f32; 3],
    layout: Vec<u32>,
    blended: Vec<(usize, [f32; 3])>,
    /// Needs the coordinates of all pixels, so a part of the file does not have it.
    gradient: Option<Vec<f32>>,
}

impl MeshReference {
    /// Reads the scene.
    ///
    /// # Errors
    /// The file's, for missing tensors and sizes that do not fit.
    pub fn read<T: Tensors + ?Sized>(file: &T) -> Result<Self, T::Error> {
        let size = size(file)?;
        let pixels = size[0] as usize * size[1] as usize;
        let (clip, faces) = scene(file)?;
        let bits: Vec<u8> = integers_of(file, "mask_bits", pixels.div_ceil(8))?;
        let covered: Vec<usize> = (0..pixels).filter(|p| bits[p / 8] >> (p % 8) & 1 == 1).collect();
        let mut ids = vec![0; pixels];
        let face_ids = integers_of::<u32, T>(file, "face_id", covered.len())?;
        covered.iter().zip(face_ids).for_each(|(p, id)| ids[*p] = id);
        let whole = !file.has("listed");
        let among_covered = |name: &str| -> Result<Vec<usize>, T::Error> {
            Ok(places(file, name, covered.len())?.into_iter().map(|i| covered[i]).collect())
        };
        let listed = if whole { covered.clone() } else { among_covered("listed")? };
        let n = listed.len();
        let samples = rows_of::<3, T>(file, "sample", n)?;
        let mut colors: Vec<Option<[f32; 3]>> = ids.iter().map(|id| (*id == 0).then_some([0.0; 3])).collect();
        listed.iter().zip(&samples).for_each(|(p, color)| colors[*p] = Some(*color));
        if !whole {
            let more = among_covered("colored")?;
            let values = rows_of::<3, T>(file, "color", more.len())?;
            more.into_iter().zip(values).for_each(|(p, color)| colors[p] = Some(color));
        }
        let uv = rows_of::<2, T>(file, "uv_pix", n)?;
        let texels = rows::<3, T>(file, "texture")?;
        let side = texels.len().isqrt();
        if side * side != texels.len() || !side.is_power_of_two() {
            return Err(file.wrong(format!("`texture` has {} texels, expected a power of two squared", texels.len())));
        }
        let gradient = whole.then(|| floats(file, "grad_texture_hash", 3 * texels.len())).transpose()?;
        let [r, g, b] = rows_of::<3, T>(file, "sample_uncovered", 1)?[0];
        let changed = places(file, "antialias_pixel", pixels)?;
        let values = rows_of::<3, T>(file, "antialias_value", changed.len())?;
        Ok(Self {
            uvs: rows_of(file, "uv", clip.len())?,
            places: uv.into_iter().zip(rows_of::<4, T>(file, "uv_da", n)?).collect(),
            bary: rows_of(file, "bary", n)?,
            depth: floats(file, "zw", n)?,
            samples,
            colors,
            outside: [r, g, b],
            layout: integers_of(file, "uv_layout_id", (LAYOUT_SIDE * LAYOUT_SIDE) as usize)?,
            blended: changed.into_iter().zip(values).collect(),
            texture: FloatTexture { width: side, height: side, texels },
            clip,
            faces,
            size,
            ids,
            listed,
            gradient,
        })
    }

    /// The mapped faces as laid out in the atlas: corners, faces and picture size for [`MeshReference::compare_layout`].
    pub fn layout(&self) -> (Vec<[f32; 4]>, &[[u32; 3]], [u32; 2]) {
        let mapped = self.faces.len().saturating_sub(UNMAPPED_FACES);
        (layout_positions(&self.uvs), &self.faces[..mapped], [LAYOUT_SIDE; 2])
    }

    /// Compares the picture and, where given, interpolated coordinates.
    pub fn compare_picture(&self, image: &FaceImage, coordinates: Option<&UvImage>) -> Vec<Comparison> {
        let mut out =
            vec![Comparison::new("pixels of other faces", self.ids.len(), unequal(&image.id, &self.ids), 10.0)];
        let fits = coordinates.is_none_or(|c| c.uv.len() == self.ids.len() && c.derivatives.len() == self.ids.len());
        if image.id.len() != self.ids.len() || !fits {
            out.push(Comparison::new("number of pixels", self.ids.len(), f64::NAN, 0.0));
            return out;
        }
        let same = || self.listed.iter().enumerate().filter(|(_, p)| image.id[**p] == self.ids[**p]);
        let n = same().count();
        let bary = largest(same().flat_map(|(i, p)| differences(&image.bary[*p], &self.bary[i])));
        let depth = largest(same().map(|(i, p)| (image.depth[*p] - self.depth[i]).abs()));
        out.push(Comparison::new("weights", n, bary, 5e-4));
        out.push(Comparison::new("depth", n, depth, 2e-5));
        if let Some(c) = coordinates {
            let uv = largest(same().flat_map(|(i, p)| differences(&c.uv[*p], &self.places[i].0)));
            let change = largest(same().flat_map(|(i, p)| {
                let want = self.places[i].1;
                let most = want.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
                differences(&c.derivatives[*p], &want).into_iter().map(move |d| d / most)
            }));
            out.push(Comparison::new("texture coordinates", n, uv, 1e-4));
            out.push(Comparison::new("derivatives, of their largest", n, change, 3e-4));
        }
        out
    }

    /// Compares the picture of the atlas.
    pub fn compare_layout(&self, ids: &[u32]) -> Vec<Comparison> {
        vec![Comparison::new("atlas, pixels of other faces", self.layout.len(), unequal(ids, &self.layout), 0.0)]
    }

    /// Compares the texture sampled at [`MeshReference::places`].
    pub fn compare_samples(&self, samples: &[[f32; 3]]) -> Vec<Comparison> {
        let found = largest(differences(samples.as_flattened(), self.samples.as_flattened()));
        vec![Comparison::new("texture samples", self.samples.len(), found, 1e-5)]
    }

    /// Runs the definitions in this crate: rasteriser, atlas, sampler, its gradient (if the file is whole), antialiasing.
    ///
    /// # Errors
    /// [`MeshError::FaceIndex`] and the like for scenes that are none.
    pub fn compare_definition(&self) -> Result<Vec<Comparison>, MeshError> {
        let image = rasterize(&self.clip, &self.faces, self.size)?;
        let uv = image.interpolate_uv(&self.clip, &self.faces, &self.uvs)?;
        let mut out = self.compare_picture(&image, Some(&uv));
        let (corners, faces, size) = self.layout();
        out.extend(self.compare_layout(&rasterize(&corners, faces, size)?.id));
        out.extend(self.compare_texturing()?);
        out.extend(self.compare_antialias(&image)?);
        Ok(out)
    }

    /// The texture sampler and its transpose.
    fn compare_texturing(&self) -> Result<Vec<Comparison>, MeshError> {
        let chain = MipTexture::new(self.texture.clone())?;
        let samples: Vec<[f32; 3]> = self.places.iter().map(|(uv, d)| chain.sample(*uv, d)).collect();
        let mut out = self.compare_samples(&samples);
        let outside = largest(differences(&chain.sample([0.0; 2], &[0.0; 4]), &self.outside));
        out.push(Comparison::new("texture sample without a face", 1, outside, 1e-5));
        let Some(want) = &self.gradient else { return Ok(out) };
        let mut gradients = chain.zero_gradients();
        let mut covered = self.places.iter();
        for (p, id) in self.ids.iter().enumerate() {
            let none = ([0.0; 2], [0.0; 4]);
            let (uv, d) = if *id > 0 { *covered.next().unwrap_or(&none) } else { none };
            let weight: [f32; 3] =
                std::array::from_fn(|c| (2.0 * hash_unit(GRADIENT_SEED, p as u64, c as u64) - 1.0) as f32);
            chain.taps(uv, &d, |tap| {
                (0..3).for_each(|c| gradients[tap.level].texels[tap.texel][c] += tap.weight * weight[c]);
            });
        }
        let folded = MipTexture::fold_gradients(gradients).map_or(Vec::new(), |t| t.texels);
        let most = want.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
        let found = largest(differences(folded.as_flattened(), want)) / f64::from(most);
        out.push(Comparison::new("texture gradient, of its largest", want.len(), found, 1e-5));
        Ok(out)
    }

    /// Silhouettes. The README gives no tolerance; left over are pixels where two edges of a face cross between the same
    /// centres (11 of 1372).
    fn compare_antialias(&self, image: &FaceImage) -> Result<Vec<Comparison>, MeshError> {
        let colors: Vec<[f32; 3]> = self.colors.iter().map(|c| c.unwrap_or_default()).collect();
        let found = antialias(image, &self.clip, &self.faces, &colors)?;
        let mut want = colors;
        self.blended.iter().for_each(|(p, value)| want[*p] = *value);
        let (w, n) = (self.size[0] as usize, want.len());
        let around = |p: usize| {
            let sides = [p.checked_sub(1).filter(|q| q % w + 1 < w), (p % w + 1 < w).then_some(p + 1)];
            let rows = [p.checked_sub(w), (p + w < n).then_some(p + w)];
            sides.into_iter().chain(rows).flatten()
        };
        let judged: Vec<usize> =
            (0..n).filter(|p| self.colors[*p].is_some() && around(*p).all(|q| self.colors[q].is_some())).collect();
        let same = |p: &&usize| largest(differences(&found[**p], &want[**p])) <= 1e-4;
        let wrong = judged.len() - judged.iter().filter(same).count();
        Ok(vec![Comparison::new("blended silhouettes, pixels that differ", judged.len(), wrong as f64, 13.0)])
    }
}

/// Triangles with edges exactly through pixel centres, and equal depths.
#[derive(Debug, Clone)]
pub struct TieReference {
    /// Clip-space corners.
    pub clip: Vec<[f32; 4]>,
    /// Faces.
    pub faces: Vec<[u32; 3]>,
    /// Width and height.
    pub size: [u32; 2],
    ids: Vec<u32>,
}

impl TieReference {
    /// Reads the scene.
    ///
    /// # Errors
    /// The file's, for missing tensors and sizes that do not fit.
    pub fn read<T: Tensors + ?Sized>(file: &T) -> Result<Self, T::Error> {
        let (clip, faces) = scene(file)?;
        let ids: Vec<u32> = rows::<4, T>(file, "rast")?.iter().map(|row| row[3] as u32).collect();
        let side = ids.len().isqrt();
        if side * side != ids.len() || !(1..=MAX_SIDE as usize).contains(&side) {
            return Err(file.wrong(format!("`rast` has {} pixels, expected a square", ids.len())));
        }
        Ok(Self { clip, faces, size: [side as u32; 2], ids })
    }

    /// Compares the faces that the pixels show; all must be equal.
    pub fn compare(&self, ids: &[u32]) -> Vec<Comparison> {
        vec![Comparison::new("pixels of other faces", self.ids.len(), unequal(ids, &self.ids), 0.0)]
    }
}

/// Corners and faces, every face with corners that are there.
fn scene<T: Tensors + ?Sized>(file: &T) -> Result<(Vec<[f32; 4]>, Vec<[u32; 3]>), T::Error> {
    let clip: Vec<[f32; 4]> = rows(file, "clip_pos")?;
    let corners: Vec<u32> = integers(file, "faces")?;
    let (faces, rest) = corners.as_chunks::<3>();
    if !rest.is_empty() || corners.iter().any(|v| *v as usize >= clip.len()) {
        return Err(file.wrong(format!("`faces` are not triples of places below {}", clip.len())));
    }
    Ok((clip, faces.to_vec()))
}

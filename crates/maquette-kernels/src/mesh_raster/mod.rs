//! Triangle meshes in pictures: which face every pixel shows, where on it, and what lies there.
//!
//! The definition is [`maquette_mesh::raster_mesh`] (coverage in whole numbers on corners snapped to 1/16 pixel; left and
//! bottom edges belong to a face; at equal depth the later face wins; nothing is culled by direction). It is also what runs
//! on the CPU tier. Pictures have row 0 at the bottom (y = −1 in clip space), columns from the left.
//!
//! On a GPU every 8×8 block of a face's box is one invocation's work, so that large faces hold nobody up. Nothing is read
//! back: stages can be chained on the device.

mod gpu;

use burn::tensor::{Device, Int, Tensor};
use maquette_mesh::{
    MeshError,
    camera::{Matrix4, transform},
    raster_gaussian::MAX_SIDE,
    raster_mesh::{FaceImage, UvImage, rasterize},
};

use crate::{
    Error,
    buffers::{Buffers, read_floats, read_words, upload_floats, upload_words},
};

/// Faces on a device, known to point at corners that exist.
#[derive(Clone, Debug)]
pub struct Faces {
    /// Corner indices `[F, 3]`.
    indices: Tensor<2, Int>,
    corners: usize,
}

/// What covers the pixels of a batch of views. Row 0 = bottom.
#[derive(Clone, Debug)]
pub struct FacePictures {
    /// Face index + 1 `[V, H, W]`; 0 = nothing.
    pub ids: Tensor<3, Int>,
    /// Perspective-correct weights of the face's first and second corner `[V, H, W, 2]`; 0 without a face.
    pub bary: Tensor<4>,
    /// z/w `[V, H, W]`; 0 without a face.
    pub depth: Tensor<3>,
    /// Clip-space corners `[V, C, 4]` that were drawn.
    clip: Tensor<3>,
    faces: Faces,
}

/// Interpolated texture coordinates. Row 0 = bottom; zeros where no face is.
#[derive(Clone, Debug)]
pub struct CoordinatePictures {
    /// (u, v) `[V, H, W, 2]`.
    pub uv: Tensor<4>,
    /// (∂u/∂X, ∂u/∂Y, ∂v/∂X, ∂v/∂Y) `[V, H, W, 4]`, X and Y in pixels.
    pub derivatives: Tensor<4>,
}

impl Faces {
    /// Uploads faces of a mesh with `corners` vertices.
    ///
    /// # Errors
    /// [`Error::Scene`] for a face beyond the vertices.
    pub fn upload(faces: &[[u32; 3]], corners: usize, device: &Device) -> Result<Self, Error> {
        for (face, f) in faces.iter().enumerate() {
            if let Some(&vertex) = f.iter().find(|&&v| v as usize >= corners) {
                return Err(MeshError::FaceIndex { face, vertex, vertices: corners }.into());
            }
        }
        let indices = upload_words(faces.as_flattened().to_vec(), [faces.len(), 3], device);
        Ok(Self { indices, corners })
    }

    /// Number of faces.
    pub fn len(&self) -> usize {
        self.indices.dims()[0]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of vertices of the mesh.
    pub fn corners(&self) -> usize {
        self.corners
    }

    /// Corner indices `[F, 3]`.
    pub fn indices(&self) -> &Tensor<2, Int> {
        &self.indices
    }

    async fn download(&self) -> Result<Vec<[u32; 3]>, Error> {
        Ok(read_words(self.indices.clone()).await?.as_chunks::<3>().0.to_vec())
    }

    fn check_rows(&self, what: &'static str, rows: usize) -> Result<(), Error> {
        if rows == self.corners { Ok(()) } else { Err(Error::Lengths { what, expected: self.corners, got: rows }) }
    }
}

/// Clip-space corners `[V, C, 4]` of `positions` `[C, 3]` under each view's matrix (row-major, on column vectors).
///
/// # Errors
/// [`Error::OutOfRange`] without views; [`Error::Lengths`] if positions are not three a corner; [`Error::Read`].
pub async fn transform_corners(positions: &Tensor<2>, matrices: &[Matrix4]) -> Result<Tensor<3>, Error> {
    let [corners, width] = positions.dims();
    if width != 3 {
        return Err(Error::Lengths { what: "coordinates of a corner", expected: 3, got: width });
    }
    if matrices.is_empty() {
        return Err(Error::OutOfRange { what: "views", detail: "expected at least one, got none".into() });
    }
    let device = positions.device();
    if let Some(buffers) = Buffers::on(&device) {
        return gpu::transform_corners(&buffers, positions, matrices);
    }
    let points = read_floats(positions.clone()).await?;
    let points = points.as_chunks::<3>().0;
    let clip = matrices.iter().flat_map(|m| points.iter().flat_map(move |p| transform(m, *p))).collect();
    Ok(upload_floats(clip, [matrices.len(), corners, 4], &device))
}

/// Draws faces given by clip-space corners `clip` `[V, C, 4]` into pictures of `size` (width, height).
///
/// # Errors
/// [`Error::Lengths`] if `clip` does not have the faces' corners; [`Error::OutOfRange`] for an impossible picture size, or
/// pictures too large for one buffer of the device (draw fewer views at once); [`Error::Read`].
pub async fn rasterise(clip: &Tensor<3>, faces: &Faces, size: [u32; 2]) -> Result<FacePictures, Error> {
    let [views, corners, width] = clip.dims();
    faces.check_rows("clip-space corners", corners)?;
    if width != 4 {
        return Err(Error::Lengths { what: "coordinates of a clip-space corner", expected: 4, got: width });
    }
    check_size(size)?;
    let device = clip.device();
    if let Some(buffers) = Buffers::on(&device) {
        return gpu::rasterise(&buffers, clip, faces, size);
    }
    let corners_of = read_floats(clip.clone()).await?;
    let list = faces.download().await?;
    let (mut ids, mut bary, mut depth) = (Vec::new(), Vec::new(), Vec::new());
    for view in 0..views {
        let corners_of = &corners_of[view * corners * 4..(view + 1) * corners * 4];
        let image = rasterize(corners_of.as_chunks::<4>().0, &list, size)?;
        ids.extend(image.id);
        bary.extend_from_slice(image.bary.as_flattened());
        depth.extend(image.depth);
    }
    let [w, h] = size.map(|side| side as usize);
    Ok(FacePictures {
        ids: upload_words(ids, [views, h, w], &device),
        bary: upload_floats(bary, [views, h, w, 2], &device),
        depth: upload_floats(depth, [views, h, w], &device),
        clip: clip.clone(),
        faces: faces.clone(),
    })
}

/// In how many of the views each face owns at least one pixel of a picture of `size`: `[F]` of type U32. Views are
/// matrices from positions `[C, 3]` to clip space; they are drawn a few at a time.
///
/// # Errors
/// As [`transform_corners`] and [`rasterise`].
pub async fn count_visible(
    positions: &Tensor<2>,
    faces: &Faces,
    matrices: &[Matrix4],
    size: [u32; 2],
) -> Result<Tensor<1, Int>, Error> {
    check_size(size)?;
    faces.check_rows("positions", positions.dims()[0])?;
    let device = positions.device();
    if let Some(buffers) = Buffers::on(&device) {
        return gpu::count_visible(&buffers, positions, faces, matrices, size);
    }
    let mut counts = vec![0u32; faces.len()];
    for matrix in matrices {
        let clip = transform_corners(positions, std::slice::from_ref(matrix)).await?;
        let ids = read_words(rasterise(&clip, faces, size).await?.ids).await?;
        let mut seen = vec![false; faces.len()];
        ids.iter().filter(|id| **id > 0).for_each(|id| seen[*id as usize - 1] = true);
        counts.iter_mut().zip(seen).for_each(|(count, seen)| *count += u32::from(seen));
    }
    Ok(upload_words(counts, [faces.len()], &device))
}

impl FacePictures {
    /// Number of views, width and height.
    pub fn shape(&self) -> [usize; 3] {
        let [views, height, width] = self.ids.dims();
        [views, width, height]
    }

    /// Texture coordinates and their derivatives; `uvs` is `[C, 2]`, one a vertex.
    ///
    /// # Errors
    /// [`Error::Lengths`]; [`Error::Read`].
    pub async fn texture_coordinates(&self, uvs: &Tensor<2>) -> Result<CoordinatePictures, Error> {
        self.faces.check_rows("uvs", uvs.dims()[0])?;
        if uvs.dims()[1] != 2 {
            return Err(Error::Lengths { what: "coordinates of a uv", expected: 2, got: uvs.dims()[1] });
        }
        let device = self.bary.device();
        if let Some(buffers) = Buffers::on(&device) {
            return gpu::texture_coordinates(&buffers, self, uvs);
        }
        let [views, width, height] = self.shape();
        let corner_uvs = read_floats(uvs.clone()).await?;
        let clip = read_floats(self.clip.clone()).await?;
        let list = self.faces.download().await?;
        let mut out = UvImage { uv: Vec::new(), derivatives: Vec::new() };
        for (view, image) in self.download().await?.into_iter().enumerate() {
            let corners = &clip[view * self.faces.corners * 4..][..self.faces.corners * 4];
            let one = image.interpolate_uv(corners.as_chunks::<4>().0, &list, corner_uvs.as_chunks::<2>().0)?;
            out.uv.extend(one.uv);
            out.derivatives.extend(one.derivatives);
        }
        let uv = out.uv.as_flattened().to_vec();
        let derivatives = out.derivatives.as_flattened().to_vec();
        Ok(CoordinatePictures {
            uv: upload_floats(uv, [views, height, width, 2], &device),
            derivatives: upload_floats(derivatives, [views, height, width, 4], &device),
        })
    }

    /// Vertex attributes `[C, K]` interpolated over the faces: `[V, H, W, K]`; 0 where no face is.
    ///
    /// # Errors
    /// [`Error::Lengths`]; [`Error::Read`].
    pub async fn interpolate(&self, attributes: &Tensor<2>) -> Result<Tensor<4>, Error> {
        let [rows, channels] = attributes.dims();
        self.faces.check_rows("attributes", rows)?;
        let device = self.bary.device();
        if let Some(buffers) = Buffers::on(&device) {
            return gpu::interpolate(&buffers, self, attributes);
        }
        let [views, width, height] = self.shape();
        let values = read_floats(attributes.clone()).await?;
        let list = self.faces.download().await?;
        let mut out = Vec::with_capacity(views * width * height * channels);
        for image in self.download().await? {
            for (at, &[b0, b1]) in image.bary.iter().enumerate() {
                let Some(face) = image.face(at) else {
                    out.resize(out.len() + channels, 0.0);
                    continue;
                };
                let corner = list[face].map(|v| &values[v as usize * channels..][..channels]);
                out.extend(
                    (0..channels).map(|k| b0 * corner[0][k] + b1 * corner[1][k] + (1.0 - b0 - b1) * corner[2][k]),
                );
            }
        }
        Ok(upload_floats(out, [views, height, width, channels], &device))
    }

    /// Reads the pictures back, one a view.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn download(&self) -> Result<Vec<FaceImage>, Error> {
        let [views, width, height] = self.shape();
        let pixels = width * height;
        let ids = read_words(self.ids.clone()).await?;
        let bary = read_floats(self.bary.clone()).await?;
        let depth = read_floats(self.depth.clone()).await?;
        let image = |view: usize| FaceImage {
            size: [width as u32, height as u32],
            id: ids[view * pixels..][..pixels].to_vec(),
            bary: bary.as_chunks::<2>().0[view * pixels..][..pixels].to_vec(),
            depth: depth[view * pixels..][..pixels].to_vec(),
        };
        Ok((0..views).map(image).collect())
    }
}

fn check_size(size: [u32; 2]) -> Result<(), Error> {
    if size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Ok(());
    }
    let detail = format!("{} x {}, expected 1 to {MAX_SIDE} a side", size[0], size[1]);
    Err(Error::OutOfRange { what: "picture size", detail })
}

//! FlexiCubes extraction on a GPU (spec trellis.md §7.4–7.6).
//!
//! The definition is [`maquette_mesh::flexicubes`], which also serves the CPU tier. Here the decoder's rows stay on the device,
//! where they are made twice, a run at a time: distances are averaged first; then the cubes that the surface passes through are
//! known, and only their corners' deformations and colours and their weights are gathered. Faces are the definition's, in its order: distances are
//! summed in the order of rows and divided with correct rounding, everything after that is whole numbers, and the host cuts the
//! quads. Vertices differ by what tanh and exp do (a few 10⁻⁷).
//!
//! Sets are sparse arrays in bricks of 4³ cells found through a dense grid of bricks; sorting and numbering are radix sorts and
//! prefix sums. Memory: about 24 words a cell of the vertices' bricks, a few hundred bytes a cube of the surface, and one run of
//! rows; not in pages as large as the decoder's output, where the runtime would have to take one for it.

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use maquette_mesh::flexicubes::{DualSurface, ExtractedMesh, ROW, case_words};

use crate::{
    DecodedRows, Error, Voxels,
    buffers::{Buffers, LANES, int_tensor, read_floats, read_words, run, upload_words, words_of},
    scan::scan,
    sort::radix_sort,
    wgsl::{cube_f32, tensor},
};

/// Largest grid: coordinates take ten bits.
const LARGEST: usize = 1024;
/// Cells of a brick, and its edge.
const CELLS: usize = 64;
const EDGE: usize = 4;
/// Values of a row without colour.
const PLAIN_ROW: usize = 53;
/// Memory that extraction takes for a voxel of a large surface with colours, and a little more (measured: 130 to 175).
const BYTES_OF_VOXEL: u64 = 180;
/// Words of a needed vertex and of a dual vertex, and of a cube's weights.
const VERTEX: usize = 10;
const WEIGHTS: usize = 21;

/// The surface of a decoded field: `voxels` are the cubes' lower corners in a grid of `resolution` cubes a side, `rows`
/// `[voxels, 53 or 101]` as [`maquette_mesh::flexicubes::SparseField`] describes them. World coordinates, z up.
///
/// `None` on the CPU tier, and where the device's largest buffer is too small for the surface: extract on the host then.
///
/// # Errors
/// [`Error::Lengths`] for rows of another shape; [`Error::OutOfRange`] for a resolution of 0 or above 1024, more than one
/// batch item, or a voxel outside the grid; [`Error::Read`].
pub async fn extract(voxels: &Voxels, rows: &DecodedRows, resolution: usize) -> Result<Option<ExtractedMesh>, Error> {
    if rows.len() != voxels.len() {
        return Err(Error::Lengths { what: "decoded rows", expected: voxels.len(), got: rows.len() });
    }
    let width = rows.width();
    if width != PLAIN_ROW && width != ROW {
        return Err(Error::Lengths { what: "values of a decoded row", expected: ROW, got: width });
    }
    if !(1..=LARGEST).contains(&resolution) {
        let detail = format!("{resolution}, expected 1 to {LARGEST}");
        return Err(Error::OutOfRange { what: "resolution of the surface", detail });
    }
    let outside = |c: &&[i32; 4]| c[0] != 0 || c[1..].iter().any(|x| !(0..resolution as i32).contains(x));
    if let Some(c) = voxels.coords().iter().find(outside) {
        let detail = format!("{c:?}, expected batch item 0 and coordinates in 0..{resolution}");
        return Err(Error::OutOfRange { what: "voxel", detail });
    }
    let Some(buffers) = Buffers::on(&rows.device()) else { return Ok(None) };
    if rows.is_empty() {
        return Ok(Some(ExtractedMesh::default()));
    }
    let buffers = buffers.sparing(BYTES_OF_VOXEL * voxels.len() as u64);
    let extracted = on_device(&buffers, voxels, rows, resolution).await;
    buffers.settle()?;
    match extracted {
        Ok(surface) => Ok(Some(surface.into_mesh()?)),
        Err(Error::OutOfRange { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A sparse array in bricks.
struct Bricks {
    /// Bricks a side of the grid of them.
    side: usize,
    /// How many there are before each place.
    starts: CubeTensor,
    count: usize,
}

impl Bricks {
    fn places(extent: usize) -> usize {
        extent.div_ceil(EDGE).pow(3)
    }

    fn slots(&self) -> usize {
        self.count * CELLS
    }
}

/// Where the field is.
struct Field<'a> {
    buffers: &'a Buffers,
    decoded: &'a DecodedRows,
    resolution: usize,
    cubes: Bricks,
    /// Row of each cell of the cubes' bricks.
    rows: CubeTensor,
    vertices: Bricks,
    /// Places of the vertices' bricks.
    origins: CubeTensor,
}

/// The last entry of prefix sums over `length` words, each read back.
async fn totals(buffers: &Buffers, sums: &[(&CubeTensor, usize)]) -> Result<Vec<usize>, Error> {
    let mut last = Vec::with_capacity(sums.len());
    for (sums, length) in sums {
        let place = buffers.ramp(1, *length as u32, 0);
        last.push(int_tensor::<1>(buffers.gather(sums, &place, 1)));
    }
    let words = read_words(Tensor::cat(last, 0)).await?;
    Ok(words.into_iter().map(|word| word as usize).collect())
}

async fn on_device(
    buffers: &Buffers,
    voxels: &Voxels,
    decoded: &DecodedRows,
    resolution: usize,
) -> Result<DualSurface, Error> {
    let field = Field::new(buffers, voxels, decoded, resolution).await?;
    let (distances, counts) = field.distances()?;
    let Some(cubes) = SurfaceCubes::find(&field, &distances).await? else { return Ok(DualSurface::default()) };
    let (numbers, flags) = cubes.topology();
    let needed = cubes.needed(&field, &counts);
    let (numbers_at, edges_at) = (4 * cubes.count, 3 * cubes.count);
    let offsets = scan(buffers, &flags, edges_at);
    drop(flags);
    let found =
        totals(buffers, &[(&numbers, numbers_at), (&offsets, edges_at), (&needed, field.vertices.slots())]).await?;
    let [dual, quads, corners] = found[..] else { return Ok(DualSurface::default()) };
    let quads = cubes.quads(&field, &distances, &numbers, &offsets, quads).await?;
    drop(offsets);
    let vertices = cubes.dual_vertices(&field, &distances, &counts, &numbers, &needed, corners, dual).await?;
    Ok(DualSurface { vertices, quads })
}

impl<'a> Field<'a> {
    async fn new(
        buffers: &'a Buffers,
        voxels: &Voxels,
        decoded: &'a DecodedRows,
        resolution: usize,
    ) -> Result<Self, Error> {
        let extents = [resolution, resolution + 1];
        let [cube_places, vertex_places] = extents.map(Bricks::places);
        let [cube_side, vertex_side] = extents.map(|extent| extent.div_ceil(EDGE));
        buffers.fits("grid of bricks", &[vertex_places + 1])?;
        buffers.fits("voxels", &[voxels.len()])?;
        let words = voxels.coords().iter().map(|c| (c[1] << 20 | c[2] << 10 | c[3]) as u32).collect();
        let coords = buffers.allocate(|| upload_words::<1>(words, [voxels.len()], &decoded.device()));
        let coords = words_of(&coords).ok_or_else(elsewhere)?;
        let groups = voxels.len().div_ceil(LANES);
        let starts = {
            let [cubes, vertices] = [cube_places, vertex_places].map(|places| buffers.ramp(places, 0, 0));
            let info = vec![voxels.len() as u32, cube_side as u32, vertex_side as u32];
            run("flexi_mark", &[], &[&coords, &cubes, &vertices], info, groups);
            [scan(buffers, &cubes, cube_places), scan(buffers, &vertices, vertex_places)]
        };
        let counts = totals(buffers, &[(&starts[0], cube_places), (&starts[1], vertex_places)]).await?;
        let [cube_starts, vertex_starts] = starts;
        let [cube_bricks, vertex_bricks] = counts[..] else { return Err(elsewhere()) };
        let cubes = Bricks { side: cube_side, starts: cube_starts, count: cube_bricks };
        let vertices = Bricks { side: vertex_side, starts: vertex_starts, count: vertex_bricks };
        buffers.fits("cells of the surface's bricks", &[vertices.slots() + 1])?;
        let rows = buffers.ramp(cubes.slots(), u32::MAX, 0);
        let info = vec![cube_side as u32, voxels.len() as u32];
        run("flexi_enter", &[], &[&coords, &cubes.starts, &rows], info, groups);
        let origins = buffers.words(vertices.count);
        let groups = vertex_places.div_ceil(LANES);
        run("flexi_origins", &[], &[&vertices.starts, &origins], vec![vertex_places as u32], groups);
        Ok(Self { buffers, decoded, resolution, cubes, rows, vertices, origins })
    }

    /// The rows, a run at a time: its first row, the first after it, values of a row, and the run.
    fn runs(&self) -> impl Iterator<Item = Result<([usize; 3], CubeTensor), Error>> {
        self.decoded.runs().map(|run| {
            let span = [run.start, run.end, self.decoded.width()];
            let rows = self.buffers.allocate(|| cube_f32(&self.decoded.make(run)));
            Ok((span, rows.ok_or_else(elsewhere)?))
        })
    }

    /// Adds a run of rows to the vertices' sums.
    fn add(
        &self,
        part: &str,
        [first, end, width]: [usize; 3],
        rows: &CubeTensor,
        sums: &CubeTensor,
        beside: &CubeTensor,
    ) {
        let slots = self.vertices.slots();
        let info = words(&[self.cubes.side, self.vertices.side, slots, first, end, width]);
        let bound = [&self.origins, &self.cubes.starts, &self.rows, rows, sums, beside];
        run("flexi_sums", &[("PART", part)], &bound, info, slots.div_ceil(LANES));
    }

    /// Mean distance at every vertex of the bricks, and how many voxels touch it.
    fn distances(&self) -> Result<(CubeTensor, CubeTensor), Error> {
        let slots = self.vertices.slots();
        let (sums, counts) = (self.buffers.ramp(slots, 0, 0), self.buffers.ramp(slots, 0, 0));
        for rows in self.runs() {
            let (span, rows) = rows?;
            self.add("distance", span, &rows, &sums, &counts);
        }
        let info = vec![slots as u32, (1.0 / self.resolution as f32).to_bits()];
        run("flexi_distances", &[], &[&sums, &counts], info, slots.div_ceil(LANES));
        Ok((sums, counts))
    }
}

/// The cubes that the surface passes through, sorted.
struct SurfaceCubes<'a> {
    buffers: &'a Buffers,
    count: usize,
    keys: CubeTensor,
    /// Sign patterns, and those after ambiguities are resolved.
    original: CubeTensor,
    patterns: CubeTensor,
    /// Cubes a side, and bits of a coordinate.
    resolution: usize,
    bits: u32,
    table: Vec<u32>,
}

impl<'a> SurfaceCubes<'a> {
    async fn find(field: &Field<'a>, distances: &CubeTensor) -> Result<Option<Self>, Error> {
        let buffers = field.buffers;
        let slots = field.vertices.slots();
        let bits = usize::BITS - (field.resolution - 1).leading_zeros();
        let info = words(&[field.vertices.side, slots, field.resolution, bits as usize]);
        let counts = buffers.words(slots);
        let bound = [&field.origins, &field.vertices.starts, distances, &counts];
        run("flexi_candidates", &[("MODE", "count")], &bound, info.clone(), slots.div_ceil(LANES));
        let offsets = scan(buffers, &counts, slots);
        drop(counts);
        let count = totals(buffers, &[(&offsets, slots)]).await?.first().copied().unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        buffers.fits("weights of the surface's cubes", &[count, WEIGHTS])?;
        let (keys, patterns) = (buffers.words(count), buffers.words(count));
        let bound = [&field.origins, &field.vertices.starts, distances, &offsets, &keys, &patterns];
        run("flexi_candidates", &[("MODE", "emit")], &bound, info, slots.div_ceil(LANES));
        let (keys, original) = radix_sort(buffers, keys, patterns, count, 3 * bits.max(1));
        let patterns = buffers.words(count);
        let table = case_words();
        Ok(Some(Self { buffers, count, keys, original, patterns, resolution: field.resolution, bits, table }))
    }

    /// Words of `info`: bricks a side, what the shared functions ask of the cubes, then `more` up to word 8.
    fn info(&self, bricks: usize, more: &[usize]) -> Vec<u32> {
        let mut info = words(&[bricks, self.count, self.resolution, self.bits as usize]);
        info.extend(words(more));
        info
    }

    /// The same with the table of cases from word 8 on.
    fn info_with_table(&self, more: &[usize]) -> Vec<u32> {
        let mut info = self.info(0, more);
        info.resize(8, 0);
        info.extend(&self.table);
        info
    }

    /// Settles every cube's pattern. Returns the numbers of first dual vertices (sums over four lists of cubes, by how many they
    /// have) and flags of the edges that get a quad.
    fn topology(&self) -> (CubeTensor, CubeTensor) {
        let numbers = self.buffers.words(4 * self.count);
        let bound = [&self.keys, &self.original, &self.patterns, &numbers];
        run("flexi_patterns", &[], &bound, self.info_with_table(&[]), self.count.div_ceil(LANES));
        let flags = self.buffers.words(3 * self.count);
        let bound = [&self.keys, &self.patterns, &flags];
        run("flexi_edges", &[], &bound, self.info_with_table(&[]), (3 * self.count).div_ceil(LANES));
        (scan(self.buffers, &numbers, 4 * self.count), flags)
    }

    /// Looks at every corner of every cube.
    fn corners(&self, mode: &str, field: &Field<'_>, slots: &CubeTensor, y: &CubeTensor) {
        let bound = [&self.keys, &field.vertices.starts, slots, y];
        let info = self.info(field.vertices.side, &[]);
        run("flexi_corners", &[("MODE", mode)], &bound, info, (8 * self.count).div_ceil(LANES));
    }

    /// How many vertices before each slot the surface needs.
    fn needed(&self, field: &Field<'_>, counts: &CubeTensor) -> CubeTensor {
        let slots = field.vertices.slots();
        let flags = self.buffers.ramp(slots, 0, 0);
        self.corners("flag", field, counts, &flags);
        scan(self.buffers, &flags, slots)
    }

    /// The quads in order.
    async fn quads(
        &self,
        field: &Field<'_>,
        distances: &CubeTensor,
        numbers: &CubeTensor,
        offsets: &CubeTensor,
        count: usize,
    ) -> Result<Vec<[u32; 4]>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let [low, high, items] = [(); 3].map(|()| self.buffers.words(count));
        let bound = [&self.keys, offsets, &field.vertices.starts, distances, &low, &high, &items];
        let info = self.info(field.vertices.side, &[]);
        run("flexi_quad_keys", &[], &bound, info, (3 * self.count).div_ceil(LANES));
        // Vertices have one more place an axis than cubes.
        let bits = self.bits + 1;
        let (_, order) = radix_sort(self.buffers, low, self.buffers.ramp(count, 0, 1), count, 2 * bits + 2);
        let upper = self.buffers.gather(&high, &order, count);
        let (high, order) = radix_sort(self.buffers, upper, order, count, bits + 1);
        let items = self.buffers.gather(&items, &order, count);
        let quads = self.buffers.words(4 * count);
        let bound = [&items, &high, &self.keys, &self.patterns, numbers, &quads];
        run("flexi_quads", &[], &bound, self.info_with_table(&[count]), count.div_ceil(LANES));
        Ok(read_words::<1>(int_tensor(quads)).await?.as_chunks::<4>().0.to_vec())
    }

    /// Dual vertices with their attributes.
    async fn dual_vertices(
        &self,
        field: &Field<'_>,
        distances: &CubeTensor,
        counts: &CubeTensor,
        numbers: &CubeTensor,
        needed: &CubeTensor,
        corners: usize,
        count: usize,
    ) -> Result<Vec<[f32; VERTEX]>, Error> {
        let buffers = self.buffers;
        buffers.fits("vertices around the surface", &[corners, VERTEX])?;
        buffers.fits("vertices of the surface", &[count, VERTEX])?;
        let slots = field.vertices.slots();
        let attributes = buffers.ramp(corners * VERTEX, 0, 0);
        let weights = buffers.words(WEIGHTS * self.count);
        for rows in field.runs() {
            let (span, rows) = rows?;
            field.add("rest", span, &rows, &attributes, needed);
            let bound = [&self.keys, &field.cubes.starts, &field.rows, &rows, &weights];
            let info = self.info(field.cubes.side, &span);
            run("flexi_weights", &[], &bound, info, self.count.div_ceil(LANES));
        }
        let reach = ((1.0 - 1e-8) / (2.0 * self.resolution as f64)) as f32;
        let mut info = words(&[field.vertices.side, slots, self.resolution]);
        info.push(reach.to_bits());
        let bound = [&field.origins, needed, counts, distances, &attributes];
        run("flexi_activate", &[], &bound, info, slots.div_ceil(LANES));
        let places = buffers.words(8 * self.count);
        self.corners("emit", field, needed, &places);
        let y = buffers.floats([count, VERTEX]);
        let bound = [&self.keys, &self.patterns, numbers, &places, &attributes, &weights, &y];
        run("flexi_dual_vertices", &[], &bound, self.info_with_table(&[]), self.count.div_ceil(LANES));
        Ok(read_floats::<2>(tensor(y)).await?.as_chunks::<VERTEX>().0.to_vec())
    }
}

fn words(values: &[usize]) -> Vec<u32> {
    values.iter().map(|value| *value as u32).collect()
}

fn elsewhere() -> Error {
    Error::Read { message: "the decoded field is not on the GPU that extracts its surface".into() }
}

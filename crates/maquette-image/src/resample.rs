//! Lanczos resizing equal to Pillow's, byte for byte.
//!
//! Pillow rounds to bytes after the horizontal pass and again after the vertical one, sums in 32-bit integers with 22-bit weights, and
//! treats RGBA in premultiplied form. Integers make the order of summation irrelevant, so the loops here may run in whatever order is fast.

use crate::error::{ImageError, filled};
use crate::lanczos::{HALF, PRECISION, Taps};
use crate::raster::Raster;

/// Bytes that one inner loop sums at once: four AVX2 or eight SSE registers of 32-bit sums.
const LANES: usize = 32;
/// Columns (in bytes) of one strip of the vertical pass: with the some ten rows that an output row reads it stays in the first-level cache.
const STRIP: usize = 1024;

/// `round(v / 255)` for `v` in 0..=255², exact, without a division.
#[inline(always)]
pub(crate) fn div255(v: u16) -> u8 {
    // the largest sum, 65025 + 128 + 254, still fits into 16 bits
    let t = v + 128;
    ((t + (t >> 8)) >> 8) as u8
}

/// Resizes with the Lanczos-3 filter (`Image.resize(size, LANCZOS)` of Pillow). The same size gives a copy. Four channels are taken as RGBA
/// and filtered in premultiplied form, any other number of channels as independent values.
///
/// # Errors
/// [`ImageError::BadSize`] for an empty target, [`ImageError::OutOfMemory`].
pub fn resize_lanczos<const C: usize>(source: &Raster<C>, width: u32, height: u32) -> Result<Raster<C>, ImageError> {
    resize_on_canvas(source, Canvas { width: source.width(), height: source.height(), left: 0, top: 0 }, width, height)
}

/// A rectangle cut from an endless transparent plane on which a picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canvas {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Column of the canvas where the picture's first column lies (negative: the picture begins left of the canvas).
    pub(crate) left: i64,
    pub(crate) top: i64,
}

/// Crops (with zeros outside the picture) and resizes. The crop is never built in memory, so a margin of any size costs nothing.
pub(crate) fn resize_on_canvas<const C: usize>(
    source: &Raster<C>,
    canvas: Canvas,
    width: u32,
    height: u32,
) -> Result<Raster<C>, ImageError> {
    Raster::<C>::byte_len(width, height)?;
    let unmoved = canvas.left == 0 && canvas.top == 0 && (canvas.width, canvas.height) == source.size();
    if unmoved && (width, height) == source.size() {
        return source.try_clone();
    }
    // Pillow returns a same-size resize untouched; going through premultiplied bytes and back would change colours
    let premultiplied = C == 4 && (width, height) != (canvas.width, canvas.height);
    let skip_horizontal = canvas.width == width && canvas.left == 0 && source.width() == width;
    let skip_vertical = canvas.height == height && canvas.top == 0 && source.height() == height;
    // where there is no horizontal pass to do it on the way, a copy is premultiplied
    let copy = if skip_horizontal && premultiplied { Some(source.map(premultiply)?) } else { None };
    let rows = if skip_horizontal {
        None
    } else {
        let taps = axis_taps(canvas.width, width, canvas.left, source.width())?;
        Some(horizontal_pass(source, &taps, premultiplied)?)
    };
    let (data, stride) = match &rows {
        Some(rows) => (rows.data.as_slice(), rows.stride),
        None => (copy.as_ref().unwrap_or(source).data(), width as usize * C),
    };
    let row_bytes = width as usize * C;
    let mut out = filled(Raster::<C>::byte_len(width, height)?, 0)?;
    if skip_vertical {
        for (to, from) in out.chunks_exact_mut(row_bytes).zip(data.chunks(stride)) {
            to.copy_from_slice(&from[..row_bytes]);
        }
    } else {
        let taps = axis_taps(canvas.height, height, canvas.top, source.height())?;
        vertical_pass(data, stride, &taps, row_bytes, &mut out);
    }
    let mut out = Raster::new(width, height, out)?;
    if premultiplied {
        unpremultiply(&mut out);
    }
    Ok(out)
}

fn axis_taps(from: u32, to: u32, start: i64, held: u32) -> Result<Taps, ImageError> {
    if from == to { Taps::copy(to, start, held) } else { Taps::new(from, to, start, held) }
}

/// Multiplies all channels but the last by the last.
#[inline(always)]
fn premultiply<const C: usize>(pixel: &[u8; C]) -> [u8; C] {
    let alpha = u16::from(pixel[C - 1]);
    let mut out = pixel.map(|c| div255(u16::from(c) * alpha));
    out[C - 1] = pixel[C - 1];
    out
}

fn unpremultiply<const C: usize>(raster: &mut Raster<C>) {
    for pixel in raster.data_mut().as_chunks_mut::<C>().0 {
        let alpha = u32::from(pixel[C - 1]);
        if alpha != 0 && alpha != 255 {
            for c in &mut pixel[..C - 1] {
                *c = (255 * u32::from(*c) / alpha).min(255) as u8;
            }
        }
    }
}

/// Rows after the horizontal pass, with a stride that keeps rows from falling on the same cache lines.
struct Rows {
    data: Vec<u8>,
    stride: usize,
}

fn horizontal_pass<const C: usize>(source: &Raster<C>, taps: &Taps, premultiplied: bool) -> Result<Rows, ImageError> {
    let row_bytes = taps.len() * C;
    // a power of two as stride would put the rows that the vertical pass reads together on the same few cache lines
    let stride = row_bytes.next_multiple_of(LANES) + if row_bytes.is_multiple_of(256) { 64 } else { 0 };
    let len = stride.checked_mul(source.height() as usize).ok_or(ImageError::OutOfMemory { bytes: u64::MAX })?;
    let mut rows = Rows { data: filled(len, 0)?, stride };
    let mut block = filled(LANES * source.width() as usize, 0)?;
    let job = Horizontal { source, taps, block: &mut block, rows: &mut rows };
    if premultiplied {
        horizontal::<C, true>(job)
    } else {
        horizontal::<C, false>(job)
    }
    Ok(rows)
}

/// What the inner loop of the horizontal pass works on.
struct Horizontal<'a, const C: usize> {
    source: &'a Raster<C>,
    taps: &'a Taps,
    /// `LANES` bytes for each source column: that column's pixels of several rows side by side.
    block: &'a mut [u8],
    rows: &'a mut Rows,
}

fn horizontal<const C: usize, const PREMULTIPLY: bool>(job: Horizontal<'_, C>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has AVX2, the only thing the function asks for
        return unsafe { horizontal_avx2::<C, PREMULTIPLY>(job) };
    }
    horizontal_body::<C, PREMULTIPLY>(job);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn horizontal_avx2<const C: usize, const PREMULTIPLY: bool>(job: Horizontal<'_, C>) {
    horizontal_body::<C, PREMULTIPLY>(job);
}

/// Takes as many rows at once as fill the lanes and turns them so that a column's bytes of all these rows lie side by side: then both
/// passes are the same weighted sum of vectors.
#[inline(always)]
fn horizontal_body<const C: usize, const PREMULTIPLY: bool>(job: Horizontal<'_, C>) {
    let Horizontal { source, taps, block, rows } = job;
    let source_stride = source.width() as usize * C;
    let together = LANES / C;
    for (source_rows, out_rows) in
        source.data().chunks(source_stride * together).zip(rows.data.chunks_mut(rows.stride * together))
    {
        for (r, row) in source_rows.chunks_exact(source_stride).enumerate() {
            for (column, pixel) in block.as_chunks_mut::<LANES>().0.iter_mut().zip(row.as_chunks::<C>().0) {
                let pixel = if PREMULTIPLY { premultiply(pixel) } else { *pixel };
                column[r * C..][..C].copy_from_slice(&pixel);
            }
        }
        for o in 0..taps.len() {
            let (first, weights) = taps.at(o);
            let sums = weighted_sum::<LANES>(&block[first * LANES..], LANES, weights);
            for (row, pixel) in out_rows.chunks_exact_mut(rows.stride).zip(sums.as_chunks::<C>().0) {
                row[o * C..][..C].copy_from_slice(pixel);
            }
        }
    }
}

fn vertical_pass(data: &[u8], stride: usize, taps: &Taps, row_bytes: usize, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has AVX2, the only thing the function asks for
        return unsafe { vertical_avx2(data, stride, taps, row_bytes, out) };
    }
    vertical_body(data, stride, taps, row_bytes, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vertical_avx2(data: &[u8], stride: usize, taps: &Taps, row_bytes: usize, out: &mut [u8]) {
    vertical_body(data, stride, taps, row_bytes, out);
}

#[inline(always)]
fn vertical_body(data: &[u8], stride: usize, taps: &Taps, row_bytes: usize, out: &mut [u8]) {
    for strip in (0..row_bytes).step_by(STRIP) {
        let strip_end = (strip + STRIP).min(row_bytes);
        for (o, out_row) in out.chunks_exact_mut(row_bytes).enumerate() {
            let (first, weights) = taps.at(o);
            let rows = &data[first * stride..];
            let mut x = strip;
            while x + LANES <= strip_end {
                out_row[x..x + LANES].copy_from_slice(&weighted_sum::<LANES>(&rows[x..], stride, weights));
                x += LANES;
            }
            while x < strip_end {
                out_row[x..=x].copy_from_slice(&weighted_sum::<1>(&rows[x..], stride, weights));
                x += 1;
            }
        }
    }
}

/// `round(Σ weights[k] · data[k·stride + lane])` for `N` neighbouring lanes, clamped to bytes. The sums cannot leave 32 bits: the absolute
/// weights of one output add up to less than 2, so the sum stays under 2·255·2²² < 2³¹ (wrapping arithmetic only spares the check).
#[inline(always)]
fn weighted_sum<const N: usize>(data: &[u8], stride: usize, weights: &[i32]) -> [u8; N] {
    let mut sums = [HALF; N];
    for (k, &weight) in weights.iter().enumerate() {
        let row: &[u8; N] = data[k * stride..].first_chunk().expect("taps lie inside the source");
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(weight.wrapping_mul(i32::from(value)));
        }
    }
    sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanczos::lanczos3;

    /// A small generator of test data: xorshift64*.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
        }

        fn below(&mut self, n: u32) -> u32 {
            (self.next() % u64::from(n)) as u32
        }

        fn raster<const C: usize>(&mut self, width: u32, height: u32) -> Raster<C> {
            // noise, extremes and flat parts alike
            let style = self.below(3);
            let data = (0..width as usize * height as usize * C)
                .map(|_| match style {
                    0 => self.next() as u8,
                    1 => [0, 255][self.below(2) as usize],
                    _ => [0, 1, 128, 254, 255, 255, 255][self.below(7) as usize],
                })
                .collect();
            Raster::new(width, height, data).unwrap()
        }
    }

    /// One axis as the definition says it, per output value, with the sum in float64 (exact: every product is an integer under 2³¹).
    fn axis(line: &[u8], to: usize) -> Vec<u8> {
        let n = line.len();
        if n == to {
            return line.to_vec();
        }
        let scale = n as f64 / to as f64;
        let f = scale.max(1.0);
        (0..to)
            .map(|o| {
                let c = (o as f64 + 0.5) * scale;
                let lo = (c - 3.0 * f + 0.5).trunc().max(0.0) as usize;
                let hi = ((c + 3.0 * f + 0.5).trunc() as usize).min(n);
                let w: Vec<f64> = (lo..hi).map(|p| lanczos3((p as f64 - c + 0.5) / f)).collect();
                let total: f64 = w.iter().sum();
                let sum: f64 = w
                    .iter()
                    .zip(&line[lo..hi])
                    .map(|(w, &v)| {
                        let q = w / total * 4_194_304.0;
                        (q + 0.5f64.copysign(q)).trunc() * f64::from(v)
                    })
                    .sum();
                ((sum + 2_097_152.0) / 4_194_304.0).floor().clamp(0.0, 255.0) as u8
            })
            .collect()
    }

    fn definition<const C: usize>(source: &Raster<C>, width: u32, height: u32) -> Raster<C> {
        if source.size() == (width, height) {
            return source.clone();
        }
        let (w, h) = (source.width() as usize, source.height() as usize);
        let mut planes: Vec<Vec<u8>> = (0..C).map(|c| source.pixels().map(|p| p[c]).collect()).collect();
        if C == 4 {
            let alpha = planes[3].clone();
            for plane in &mut planes[..3] {
                for (v, &a) in plane.iter_mut().zip(&alpha) {
                    *v = (f64::from(*v) * f64::from(a) / 255.0).round() as u8;
                }
            }
        }
        let mut planes: Vec<Vec<u8>> = planes
            .iter()
            .map(|plane| {
                let rows: Vec<Vec<u8>> = plane.chunks(w).map(|row| axis(row, width as usize)).collect();
                let columns: Vec<Vec<u8>> = (0..width as usize)
                    .map(|x| axis(&(0..h).map(|y| rows[y][x]).collect::<Vec<_>>(), height as usize))
                    .collect();
                (0..height as usize).flat_map(|y| columns.iter().map(move |column| column[y])).collect()
            })
            .collect();
        if C == 4 {
            let alpha = planes[3].clone();
            for plane in &mut planes[..3] {
                for (v, &a) in plane.iter_mut().zip(&alpha) {
                    if a != 0 && a != 255 {
                        *v = (255.0 * f64::from(*v) / f64::from(a)).floor().min(255.0) as u8;
                    }
                }
            }
        }
        let data =
            (0..width as usize * height as usize).flat_map(|i| planes.iter().map(move |plane| plane[i])).collect();
        Raster::new(width, height, data).unwrap()
    }

    fn compare<const C: usize>(seed: u64) {
        let mut noise = Noise(seed);
        for _ in 0..120 {
            let mut side = || 1 + noise.below(70);
            let (w, h, to_w, to_h) = (side(), side(), side(), side());
            let source = noise.raster::<C>(w, h);
            let got = resize_lanczos(&source, to_w, to_h).unwrap();
            assert!(got == definition(&source, to_w, to_h), "{C} channels, {w}x{h} -> {to_w}x{to_h}");
        }
    }

    #[test]
    fn one_channel_equals_the_definition() {
        compare::<1>(0x9E37_79B9_7F4A_7C15);
    }

    #[test]
    fn two_channels_equal_the_definition() {
        compare::<2>(0xD1B5_4A32_D192_ED03);
    }

    #[test]
    fn three_channels_equal_the_definition() {
        compare::<3>(0x8CB9_2BA7_2F3D_8DD7);
    }

    #[test]
    fn premultiplied_four_channels_equal_the_definition() {
        compare::<4>(0xA24B_AED4_963E_E407);
    }

    #[test]
    fn one_axis_alone_equals_the_definition() {
        let mut noise = Noise(77);
        for (w, h, to_w, to_h) in
            [(300, 5, 300, 9), (300, 5, 31, 5), (5, 300, 5, 7), (1, 70, 70, 70), (64, 64, 64, 63), (600, 3, 1200, 3)]
        {
            let source = noise.raster::<4>(w, h);
            assert!(
                resize_lanczos(&source, to_w, to_h).unwrap() == definition(&source, to_w, to_h),
                "{w}x{h} -> {to_w}x{to_h}"
            );
        }
    }

    #[test]
    fn a_canvas_equals_the_crop_built_in_memory() {
        let mut noise = Noise(5);
        for _ in 0..80 {
            let (w, h) = (1 + noise.below(40), 1 + noise.below(40));
            let canvas = Canvas {
                width: 1 + noise.below(60),
                height: 1 + noise.below(60),
                left: i64::from(noise.below(100)) - 50,
                top: i64::from(noise.below(100)) - 50,
            };
            let (to_w, to_h) = match noise.below(4) {
                0 => (canvas.width, canvas.height),
                1 => (canvas.width, 1 + noise.below(50)),
                2 => (1 + noise.below(50), canvas.height),
                _ => (1 + noise.below(50), 1 + noise.below(50)),
            };
            let source = noise.raster::<4>(w, h);
            let mut crop = Vec::new();
            for y in 0..i64::from(canvas.height) {
                for x in 0..i64::from(canvas.width) {
                    let at = (u32::try_from(x - canvas.left), u32::try_from(y - canvas.top));
                    let pixel = if let (Ok(x), Ok(y)) = at { source.pixel(x, y).copied() } else { None };
                    crop.extend_from_slice(&pixel.unwrap_or_default());
                }
            }
            let crop = Raster::<4>::new(canvas.width, canvas.height, crop).unwrap();
            let got = resize_on_canvas(&source, canvas, to_w, to_h).unwrap();
            assert!(got == definition(&crop, to_w, to_h), "{w}x{h} on {canvas:?} -> {to_w}x{to_h}");
        }
    }

    #[test]
    fn empty_targets_are_refused() {
        let source = Raster::<1>::filled(3, 3, 9).unwrap();
        assert_eq!(resize_lanczos(&source, 0, 5), Err(ImageError::BadSize { width: 0, height: 5 }));
    }

    #[test]
    fn rounding_division_is_exact() {
        for v in 0..=255u16 * 255 {
            assert_eq!(u32::from(div255(v)), (u32::from(v) * 2 + 255) / 510, "{v}");
        }
    }
}

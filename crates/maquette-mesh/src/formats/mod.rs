//! PLY, OBJ and STL files, as bytes in memory.

pub mod gaussian_ply;
pub mod mesh_ply;
pub mod obj;
mod ply_header;
pub mod stl;

/// Which axis points up in a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpAxis {
    /// As decoded: z up. Usual for STL and CAD.
    Z,
    /// (x, z, −y): y up, as in glTF. Usual for OBJ and game tools.
    #[default]
    Y,
}

impl UpAxis {
    /// From the decoder's frame to the file's.
    pub fn to_file(self, p: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Z => p,
            Self::Y => [p[0], p[2], -p[1]],
        }
    }

    /// From the file's frame to the decoder's.
    pub fn from_file(self, p: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Z => p,
            Self::Y => [p[0], -p[2], p[1]],
        }
    }
}

/// Turns an attribute in `[0, 1]` into a byte; NaN becomes 0.
pub(crate) fn to_byte(x: f32) -> u8 {
    (x.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

//! The part of the PLY format shared by meshes and Gaussians: the header, and typed access to binary rows.

use crate::MeshError;

/// A scalar type of PLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Scalar {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Reads one value; `bytes` must hold at least [`Scalar::size`] bytes.
    pub fn read(self, bytes: &[u8]) -> f64 {
        fn take<const N: usize>(b: &[u8]) -> [u8; N] {
            std::array::from_fn(|i| b[i])
        }
        match self {
            Self::I8 => f64::from(bytes[0] as i8),
            Self::U8 => f64::from(bytes[0]),
            Self::I16 => f64::from(i16::from_le_bytes(take(bytes))),
            Self::U16 => f64::from(u16::from_le_bytes(take(bytes))),
            Self::I32 => f64::from(i32::from_le_bytes(take(bytes))),
            Self::U32 => f64::from(u32::from_le_bytes(take(bytes))),
            Self::F32 => f64::from(f32::from_le_bytes(take(bytes))),
            Self::F64 => f64::from_le_bytes(take(bytes)),
        }
    }
}

/// One property of an element.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub name: String,
    pub scalar: Scalar,
    /// Type of the count, for list properties.
    pub list: Option<Scalar>,
}

/// One element of the header.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub name: String,
    pub count: usize,
    pub properties: Vec<Property>,
}

impl Element {
    /// Byte offset and type of a scalar property; `None` also after a list, where offsets vary.
    pub fn field(&self, name: &str) -> Option<(usize, Scalar)> {
        let mut offset = 0;
        for p in &self.properties {
            if p.list.is_some() {
                return None;
            }
            if p.name == name {
                return Some((offset, p.scalar));
            }
            offset += p.scalar.size();
        }
        None
    }

    /// Bytes of one row, if every property is a scalar.
    pub fn row_size(&self) -> Option<usize> {
        self.properties.iter().map(|p| p.list.is_none().then(|| p.scalar.size())).sum()
    }
}

/// Longest header looked for.
const MAX_HEADER: usize = 1 << 16;

/// Parses the header; returns the elements and the body.
pub(super) fn parse(bytes: &[u8]) -> Result<(Vec<Element>, &[u8]), MeshError> {
    let fail = |detail: String| MeshError::format("PLY", detail);
    if !bytes.starts_with(b"ply") {
        return Err(fail("does not begin with \"ply\"; is it another format?".into()));
    }
    let window = &bytes[..bytes.len().min(MAX_HEADER)];
    let marker = b"end_header";
    let at = window.windows(marker.len()).position(|w| w == marker);
    let Some(at) = at else {
        return Err(fail("the header has no end_header; the file is cut off or damaged".into()));
    };
    let after = at + marker.len();
    let newline = window[after..].iter().position(|&b| b == b'\n');
    let Some(newline) = newline else {
        return Err(fail("no line end after end_header".into()));
    };
    let header = std::str::from_utf8(&window[..at]).map_err(|_| fail("the header is not text".into()))?;
    let mut elements: Vec<Element> = Vec::new();
    for line in header.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["format", "binary_little_endian", _] | ["ply"] | ["comment", ..] | ["obj_info", ..] | [] => {}
            ["format", other, ..] => {
                return Err(fail(format!("format {other}; only binary_little_endian is read, convert the file")));
            }
            ["element", name, count] => {
                let count = count.parse().map_err(|_| fail(format!("element {name} has the count {count:?}")))?;
                elements.push(Element { name: (*name).into(), count, properties: Vec::new() });
            }
            ["property", rest @ ..] => {
                let property = match rest {
                    ["list", count, scalar, name] => Scalar::parse(count)
                        .zip(Scalar::parse(scalar))
                        .map(|(c, s)| Property { name: (*name).into(), scalar: s, list: Some(c) }),
                    [scalar, name] => {
                        Scalar::parse(scalar).map(|s| Property { name: (*name).into(), scalar: s, list: None })
                    }
                    _ => None,
                };
                let Some(property) = property else {
                    return Err(fail(format!("unknown property {line:?}")));
                };
                let Some(element) = elements.last_mut() else {
                    return Err(fail(format!("{line:?} comes before any element")));
                };
                element.properties.push(property);
            }
            _ => return Err(fail(format!("unknown header line {line:?}"))),
        }
    }
    Ok((elements, &bytes[after + newline + 1..]))
}

/// The rows of an element of scalars at the start of `body`, and what follows them.
pub(super) fn rows<'a>(element: &Element, body: &'a [u8]) -> Result<(&'a [u8], usize, &'a [u8]), MeshError> {
    let Some(size) = element.row_size().filter(|s| *s > 0) else {
        let detail = format!("element {} has list properties or none; expected numbers only", element.name);
        return Err(MeshError::format("PLY", detail));
    };
    let total = element.count.checked_mul(size).filter(|t| *t <= body.len());
    let Some(total) = total else {
        let detail =
            format!("{} rows of {size} bytes declared, {} bytes are there; cut off?", element.count, body.len());
        return Err(MeshError::format("PLY", detail));
    };
    Ok((&body[..total], size, &body[total..]))
}

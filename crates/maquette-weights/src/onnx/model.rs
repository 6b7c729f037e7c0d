//! `ModelProto` → initialisers and convolutions.

use std::collections::HashSet;
use std::ops::Range;

use super::protobuf::{Message, Problem, Wire, varints};
use crate::{DType, Error, Format, Result, TensorInfo};

/// A constant tensor of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Initialiser {
    pub(crate) info: TensorInfo,
    pub(crate) place: Place,
}

/// Where an initialiser's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the file as raw little-endian bytes.
    Raw(Range<usize>),
    /// Decoded from a typed list (`float_data`, `int64_data`, …).
    Decoded(Vec<u8>),
}

/// A convolution: what it is fed from the initialisers, and its dilation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) weight: String,
    pub(crate) bias: Option<String>,
    pub(crate) dilation: u64,
}

/// What is taken from a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) initialisers: Vec<Initialiser>,
    /// In the order of the graph, which is a topological one.
    pub(crate) convolutions: Vec<Convolution>,
    pub(crate) producer: String,
}

/// Reads a model. Offsets in errors count from the start of the file.
pub(crate) fn parse(origin: &str, file: &[u8]) -> Result<Model> {
    let mut model = Model::default();
    model.read(file).map_err(|(at, problem)| Error::malformed(origin, Format::Onnx, at as u64, problem))?;
    Ok(model)
}

fn text(bytes: &[u8], at: usize) -> Result<String, Problem> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| (at, "a name is not valid UTF-8".into()))
}

impl Model {
    fn read(&mut self, file: &[u8]) -> Result<(), Problem> {
        let mut message = Message::new(file, 0);
        let mut graph = None;
        while let Some((field, value)) = message.next()? {
            match (field, value) {
                (2, Wire::Bytes(bytes, at)) => self.producer = text(bytes, at)?,
                (7, Wire::Bytes(bytes, at)) => graph = Some((bytes, at)),
                _ => {}
            }
        }
        let (graph, at) = graph.ok_or((file.len(), "the model has no graph".to_owned()))?;
        self.graph(Message::new(graph, at))
    }

    fn graph(&mut self, mut message: Message<'_>) -> Result<(), Problem> {
        let mut names = HashSet::new();
        while let Some((field, value)) = message.next()? {
            match (field, value) {
                (1, Wire::Bytes(bytes, at)) => self.convolutions.extend(node(Message::new(bytes, at))?),
                (5, Wire::Bytes(bytes, at)) => {
                    let tensor = tensor(bytes, at)?;
                    if !names.insert(tensor.info.name.clone()) {
                        return Err((at, format!("initialiser `{}` stands twice", tensor.info.name)));
                    }
                    self.initialisers.push(tensor);
                }
                (15, _) => return Err((0, "sparse initialisers are not read".into())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The convolution in a node, if it is one.
fn node(mut message: Message<'_>) -> Result<Option<Convolution>, Problem> {
    let (mut inputs, mut operator, mut dilation) = (Vec::new(), Vec::new(), 1);
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Wire::Bytes(bytes, at)) => inputs.push(text(bytes, at)?),
            (4, Wire::Bytes(bytes, _)) => operator = bytes.to_vec(),
            (5, Wire::Bytes(bytes, at)) => dilation = dilations(Message::new(bytes, at))?.unwrap_or(dilation),
            _ => {}
        }
    }
    let mut inputs = inputs.into_iter().skip(1);
    Ok(match (operator.as_slice(), inputs.next()) {
        (b"Conv", Some(weight)) => Some(Convolution { weight, bias: inputs.next(), dilation }),
        _ => None,
    })
}

/// The first dilation of an attribute, if it holds dilations.
fn dilations(mut message: Message<'_>) -> Result<Option<u64>, Problem> {
    let (mut is_dilations, mut values) = (false, Vec::new());
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Wire::Bytes(name, _)) => is_dilations = name == b"dilations",
            (8, value) => varints(value, &mut values)?,
            _ => {}
        }
    }
    Ok(values.first().copied().filter(|_| is_dilations))
}

/// Element types by ONNX number.
fn data_type(number: u64) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        _ => return None,
    })
}

fn tensor(bytes: &[u8], at: usize) -> Result<Initialiser, Problem> {
    let mut message = Message::new(bytes, at);
    let (mut dims, mut kind, mut name) = (Vec::new(), 0, String::new());
    let (mut raw, mut floats, mut integers) = (None, Vec::new(), Vec::new());
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, value) => varints(value, &mut dims)?,
            (2, Wire::Varint(v)) => kind = v,
            (4, Wire::Fixed32(b)) => floats.extend(b),
            (4, Wire::Bytes(b, _)) => floats.extend(b),
            (5 | 7 | 11, value) => varints(value, &mut integers)?,
            (8, Wire::Bytes(b, at)) => name = text(b, at)?,
            (9, Wire::Bytes(b, at)) => raw = Some(at..at + b.len()),
            (13, _) => {
                return Err((
                    at,
                    format!("initialiser `{name}` is kept in another file; export the model as one file"),
                ));
            }
            _ => {}
        }
    }
    let bad = |problem: String| (at, format!("initialiser `{name}`: {problem}"));
    let dtype = data_type(kind).ok_or_else(|| bad(format!("ONNX element type {kind} is not read")))?;
    let size = dtype.size().unwrap_or(1);
    let shape: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let elements = shape.as_ref().and_then(|s| s.iter().try_fold(1usize, |n, d| n.checked_mul(*d)));
    let expected = elements.and_then(|n| n.checked_mul(size));
    let (Some(shape), Some(expected)) = (shape, expected) else {
        return Err(bad(format!("shape {dims:?} is beyond any file")));
    };
    let place = match raw {
        Some(range) => Place::Raw(range),
        None if dtype == DType::F32 => Place::Decoded(floats),
        None if dtype == DType::F64 => return Err(bad("its values are not stored as raw bytes".into())),
        // Every integer type, and the halves as bit patterns, are varints; the low bytes are the value.
        None => Place::Decoded(integers.iter().flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect()),
    };
    let found = match &place {
        Place::Raw(range) => range.len(),
        Place::Decoded(bytes) => bytes.len(),
    };
    if found != expected {
        return Err(bad(format!("shape {shape:?} of {dtype} needs {expected} bytes, {found} are stored")));
    }
    Ok(Initialiser { info: TensorInfo { name, dtype, shape }, place })
}

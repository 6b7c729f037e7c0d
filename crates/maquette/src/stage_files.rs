//! Stage values as safetensors bytes: what `--dump` writes and `--resume` reads. Tensor names are those of the reference
//! numbers (`cond`, `z_s`, `ss_logits`, `coords`, `slat`, `gs.*`, `mesh.*`).

use maquette_mesh::{Gaussians, flexicubes::ExtractedMesh};
use maquette_weights::{Checkpoint, TensorSource};

use crate::pipeline::{Array, Condition, Latent, Noise, Structure};
use crate::{Error, Result};

/// Tensors to be written.
#[derive(Debug, Default)]
pub struct StageWriter {
    header: serde_json::Map<String, serde_json::Value>,
    data: Vec<u8>,
}

impl StageWriter {
    fn add(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: impl IntoIterator<Item = [u8; 4]>) {
        let start = self.data.len();
        self.data.extend(bytes.into_iter().flatten());
        let span = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, self.data.len()]});
        self.header.insert(name.to_owned(), span);
    }

    fn f32(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) {
        self.add(name, "F32", shape, values.into_iter().map(f32::to_le_bytes));
    }

    fn i32(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = i32>) {
        self.add(name, "I32", shape, values.into_iter().map(i32::to_le_bytes));
    }

    fn array(&mut self, name: &str, array: &Array) {
        self.f32(name, &array.shape, array.values.iter().copied());
    }

    fn rows<const N: usize>(&mut self, name: &str, rows: &[[f32; N]]) {
        self.f32(name, &[rows.len(), N], rows.iter().flatten().copied());
    }

    /// The file's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut header = serde_json::Value::Object(self.header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header);
        out.extend(self.data);
        out
    }
}

/// `condition.safetensors`.
#[must_use]
pub fn condition(value: &Condition) -> Vec<u8> {
    let mut w = StageWriter::default();
    w.array("cond", &value.tokens);
    w.finish()
}

/// `structure.safetensors`.
#[must_use]
pub fn structure(value: &Structure) -> Vec<u8> {
    let mut w = StageWriter::default();
    w.array("ss_noise", &value.noise);
    w.array("z_s", &value.latent);
    w.array("ss_logits", &value.logits);
    w.i32("coords", &[value.coords.len(), 4], value.coords.iter().flatten().copied());
    w.finish()
}

/// `latent.safetensors`.
#[must_use]
pub fn latent(value: &Latent) -> Vec<u8> {
    let mut w = StageWriter::default();
    w.array("slat_noise", &value.noise);
    w.array("slat", &value.features);
    w.i32("coords", &[value.coords.len(), 4], value.coords.iter().flatten().copied());
    w.finish()
}

/// `gaussians.safetensors`.
#[must_use]
pub fn gaussians(value: &Gaussians) -> Vec<u8> {
    let mut w = StageWriter::default();
    w.rows("gs.xyz", &value.means);
    w.rows("gs.scaling", &value.scales);
    w.rows("gs.rotation", &value.quats);
    w.f32("gs.opacity", &[value.len(), 1], value.opacities.iter().copied());
    w.f32("gs.features_dc", &[value.len(), 1, 3], value.f_dc.iter().flatten().copied());
    w.finish()
}

/// `mesh.safetensors`.
#[must_use]
pub fn mesh(value: &ExtractedMesh) -> Vec<u8> {
    let mut w = StageWriter::default();
    w.rows("mesh.vertices", &value.vertices);
    w.i32("mesh.faces", &[value.faces.len(), 3], value.faces.iter().flatten().map(|i| *i as i32));
    w.rows("mesh.vertex_attrs", &value.attrs);
    w.finish()
}

/// Reads tensors of a stage file, checked against what the stage needs.
struct StageReader {
    file: Checkpoint,
    name: String,
}

impl StageReader {
    fn open(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Ok(Self { file: Checkpoint::from_bytes(bytes)?, name: name.to_owned() })
    }

    fn problem(&self, problem: String) -> Error {
        Error::StageFile { path: self.name.clone().into(), problem }
    }

    fn array(&self, tensor: &str) -> Result<Array> {
        let view = self.file.get(tensor).map_err(|e| self.problem(e.to_string()))?;
        let values = view.to_f32();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(self.problem(format!("`{tensor}` has values that are not finite")));
        }
        Ok(Array { shape: view.shape().to_vec(), values })
    }

    fn rows<const N: usize>(&self, tensor: &str) -> Result<Vec<[f32; N]>> {
        let array = self.array(tensor)?;
        if array.shape.iter().skip(1).product::<usize>() != N || array.shape.is_empty() {
            return Err(self.problem(format!("`{tensor}` has shape {:?}, expected rows of {N}", array.shape)));
        }
        Ok(array.values.as_chunks::<N>().0.to_vec())
    }

    fn integers<const N: usize>(&self, tensor: &str) -> Result<Vec<[i32; N]>> {
        let view = self.file.get(tensor).map_err(|e| self.problem(e.to_string()))?;
        let whole = view.dtype() == maquette_weights::DType::I32 && view.shape().len() == 2 && view.shape()[1] == N;
        if !whole {
            let (dtype, shape) = (view.dtype(), view.shape());
            return Err(self.problem(format!("`{tensor}` is {dtype} {shape:?}, expected I32 [rows, {N}]")));
        }
        let values: Vec<i32> = view.bytes().as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
        Ok(values.as_chunks::<N>().0.to_vec())
    }
}

/// Reads [`condition`]'s bytes. `name` is for messages.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`].
pub fn read_condition(name: &str, bytes: Vec<u8>) -> Result<Condition> {
    let r = StageReader::open(name, bytes)?;
    let tokens = r.array("cond")?;
    if tokens.shape.len() != 3 {
        return Err(r.problem(format!("`cond` has shape {:?}, expected [pictures, tokens, channels]", tokens.shape)));
    }
    Ok(Condition { tokens })
}

/// Reads [`structure`]'s bytes.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`].
pub fn read_structure(name: &str, bytes: Vec<u8>) -> Result<Structure> {
    let r = StageReader::open(name, bytes)?;
    Ok(Structure {
        noise: r.array("ss_noise")?,
        latent: r.array("z_s")?,
        logits: r.array("ss_logits")?,
        coords: r.integers("coords")?,
    })
}

/// Reads [`latent`]'s bytes.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`].
pub fn read_latent(name: &str, bytes: Vec<u8>) -> Result<Latent> {
    let r = StageReader::open(name, bytes)?;
    let value = Latent { noise: r.array("slat_noise")?, features: r.array("slat")?, coords: r.integers("coords")? };
    if value.features.shape.first() != Some(&value.coords.len()) || value.features.shape.len() != 2 {
        let (found, rows) = (&value.features.shape, value.coords.len());
        return Err(r.problem(format!("`slat` has shape {found:?}, expected {rows} rows as `coords`")));
    }
    Ok(value)
}

/// Reads [`gaussians`]'s bytes.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`].
pub fn read_gaussians(name: &str, bytes: Vec<u8>) -> Result<Gaussians> {
    let r = StageReader::open(name, bytes)?;
    let value = Gaussians {
        means: r.rows("gs.xyz")?,
        scales: r.rows("gs.scaling")?,
        quats: r.rows("gs.rotation")?,
        opacities: r.array("gs.opacity")?.values,
        f_dc: r.rows("gs.features_dc")?,
    };
    value.validate()?;
    Ok(value)
}

/// Reads [`mesh`]'s bytes.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`], [`Error::Mesh`] for faces beyond the vertices.
pub fn read_mesh(name: &str, bytes: Vec<u8>) -> Result<ExtractedMesh> {
    let r = StageReader::open(name, bytes)?;
    let faces = r.integers::<3>("mesh.faces")?.into_iter().map(|f| f.map(|i| i as u32)).collect();
    let value = ExtractedMesh { vertices: r.rows("mesh.vertices")?, faces, attrs: r.rows("mesh.vertex_attrs")? };
    value.clone().into_triangle_mesh().validate()?;
    Ok(value)
}

/// Noise from a file with `ss_noise` and `slat_noise`, in place of a seed.
///
/// # Errors
/// [`Error::Weights`], [`Error::StageFile`].
pub fn read_noise(name: &str, bytes: Vec<u8>) -> Result<Noise> {
    let r = StageReader::open(name, bytes)?;
    Ok(Noise::Given { structure: r.array("ss_noise")?, latent: r.array("slat_noise")? })
}

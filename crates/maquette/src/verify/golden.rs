//! One file of reference tensors.

use burn::tensor::{DType, Device, Tensor, TensorData};
use maquette_kernels::Voxels;
use maquette_mesh::reference::Tensors;
use maquette_weights::{Checkpoint, DType as Stored};

use super::{GoldenFiles, Result, VerifyError};

/// Tensors by name, `in.*` and `out.*`.
pub(super) struct Golden {
    path: String,
    tensors: Checkpoint,
}

impl Golden {
    pub(super) fn read(files: &dyn GoldenFiles, path: &str) -> Result<Self> {
        Ok(Self { path: path.to_owned(), tensors: Checkpoint::from_bytes(files.read(path)?)? })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.infos().any(|info| info.name == name)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.tensors.names()
    }

    fn wrong(&self, problem: String) -> VerifyError {
        VerifyError::Content { path: self.path.clone(), problem }
    }

    pub(super) fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.tensors.tensor(name)?.shape().to_vec())
    }

    /// Values as f32.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.tensors.tensor(name)?.to_f32())
    }

    /// Values as f64: times are stored in double precision.
    pub(super) fn doubles(&self, name: &str) -> Result<Vec<f64>> {
        let view = self.tensors.tensor(name)?;
        Ok(match view.dtype() {
            Stored::F64 => view.bytes().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            _ => view.to_f32().into_iter().map(f64::from).collect(),
        })
    }

    /// Integer values, exactly.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let view = self.tensors.tensor(name)?;
        let bytes = view.bytes();
        Ok(match view.dtype() {
            Stored::U8 => bytes.iter().map(|b| i64::from(*b)).collect(),
            Stored::U16 => bytes.as_chunks::<2>().0.iter().map(|b| i64::from(u16::from_le_bytes(*b))).collect(),
            Stored::I32 => bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
            Stored::I64 => bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            other => return Err(self.wrong(format!("`{name}` is {other:?}, expected integers"))),
        })
    }

    /// A float tensor of rank `D` on a device, f32.
    pub(super) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let view = self.tensors.tensor(name)?;
        let shape: [usize; D] = view
            .shape()
            .try_into()
            .map_err(|_| self.wrong(format!("`{name}` has shape {:?}, expected {D} axes", view.shape())))?;
        Ok(Tensor::from_data(TensorData::new(view.to_f32(), shape), (device, DType::F32)))
    }

    /// Rows of `N` values.
    pub(super) fn rows<const N: usize>(&self, name: &str) -> Result<Vec<[f32; N]>> {
        let values = self.values(name)?;
        let (rows, rest) = values.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(self.wrong(format!("`{name}` has {} values, expected rows of {N}", values.len())));
        }
        Ok(rows.to_vec())
    }

    /// A voxel set from `[N, 4]` coordinates, or `[N, 3]` of one batch item.
    pub(super) fn voxels(&self, name: &str) -> Result<Voxels> {
        let values: Vec<i32> = self.integers(name)?.into_iter().map(|v| i32::try_from(v).unwrap_or(-1)).collect();
        let coords = match self.shape(name)?[..] {
            [_, 4] => values.as_chunks::<4>().0.to_vec(),
            [_, 3] => values.as_chunks::<3>().0.iter().map(|&[x, y, z]| [0, x, y, z]).collect(),
            ref other => return Err(self.wrong(format!("`{name}` has shape {other:?}, expected rows of 3 or 4"))),
        };
        Ok(Voxels::new(coords)?)
    }
}

impl Tensors for Golden {
    type Error = VerifyError;

    fn has(&self, name: &str) -> bool {
        self.has(name)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.values(name)
    }

    fn integers(&self, name: &str) -> Result<Vec<i64>> {
        self.integers(name)
    }

    fn wrong(&self, problem: String) -> VerifyError {
        self.wrong(problem)
    }
}

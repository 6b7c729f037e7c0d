//! U²-Net, the network that cuts a subject out of its background (Qin et al. 2020, "U²-Net: Going deeper with nested
//! U-structure for salient object detection").
//!
//! Both published forms, full and small (U²-Netp), are the same graph with other widths, and the widths are read from the
//! weights. Keys follow the authors' state dictionary. A checkpoint may hold the batch norms (`bn_s1`) or have them folded
//! into the convolutions, as exported ONNX files do.

mod blocks;
mod model;

pub use model::{U2Net, matting_tensor};

//! Meshes, Gaussians, extraction, processing and 3D file formats.

//! Pictures to textured 3D models on any GPU.

//! The networks: DINOv2, TRELLIS, U2-Net, samplers.

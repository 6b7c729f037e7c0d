"""The small model: classes and arguments as they stand in its checkpoints' JSON files."""

IMAGE_SIZE = 140
PATCH = 14
STRUCTURE = 32
LATENT_CHANNELS = 8
# a voxel is occupied when its centre is inside the solid or nearer than this: 0.8 voxels, so that no voxel that the
# surface enters is missed
OCCUPIED_WITHIN = 0.8 / STRUCTURE
VOXEL_FEATURES = 125 + 27 * 3
COND = 192

DINO = {"name": "DinoVisionTransformer", "args": {
    "embed_dim": COND, "depth": 5, "num_heads": 6, "img_size": IMAGE_SIZE, "patch_size": PATCH, "mlp_ratio": 3,
    "num_register_tokens": 4, "init_values": 1.0}}
STRUCTURE_FLOW = {"name": "SparseStructureFlowModel", "args": {
    "resolution": 8, "in_channels": 8, "out_channels": 8, "model_channels": 192, "cond_channels": COND,
    "num_blocks": 4, "num_heads": 6, "mlp_ratio": 2, "patch_size": 1, "pe_mode": "ape", "qk_rms_norm": True,
    "use_fp16": True}}
STRUCTURE_DECODER = {"name": "SparseStructureDecoder", "args": {
    "out_channels": 1, "latent_channels": 8, "num_res_blocks": 1, "num_res_blocks_middle": 1,
    "channels": [40, 32, 16], "use_fp16": True}}
STRUCTURE_ENCODER = {"name": "SparseStructureEncoder", "args": {
    "in_channels": 1, "latent_channels": 8, "num_res_blocks": 1, "num_res_blocks_middle": 1,
    "channels": [16, 32, 64], "use_fp16": True}}
LATENT_ENCODER = {"name": "SLatEncoder", "args": {
    "resolution": STRUCTURE, "in_channels": VOXEL_FEATURES, "model_channels": 128, "latent_channels": LATENT_CHANNELS,
    "num_blocks": 2, "num_heads": 4, "mlp_ratio": 2, "attn_mode": "swin", "window_size": 8, "use_fp16": True}}
LATENT_FLOW = {"name": "SLatFlowModel", "args": {
    "resolution": STRUCTURE, "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "model_channels": 96,
    "cond_channels": COND, "num_blocks": 4, "num_heads": 3, "mlp_ratio": 2, "patch_size": 2, "num_io_res_blocks": 2,
    "io_block_channels": [32], "pe_mode": "ape", "qk_rms_norm": True, "share_mod": True, "use_fp16": True}}
GAUSSIAN_DECODER = {"name": "SLatGaussianDecoder", "args": {
    "resolution": STRUCTURE, "model_channels": 96, "latent_channels": LATENT_CHANNELS, "num_blocks": 1,
    "num_heads": 3, "mlp_ratio": 2, "attn_mode": "swin", "window_size": 8, "use_fp16": True,
    "representation_config": {
        "lr": {"_xyz": 1.0, "_features_dc": 1.0, "_opacity": 1.0, "_scaling": 1.0, "_rotation": 0.1},
        "perturb_offset": True, "voxel_size": 1.5, "num_gaussians": 8, "2d_filter_kernel_size": 0.1,
        "3d_filter_kernel_size": 9e-4, "scaling_bias": 8e-3, "opacity_bias": 0.1, "scaling_activation": "softplus"}}}
MESH_DECODER = {"name": "SLatMeshDecoder", "args": {
    "resolution": STRUCTURE, "model_channels": 256, "latent_channels": LATENT_CHANNELS, "num_blocks": 1,
    "num_heads": 8, "mlp_ratio": 1, "attn_mode": "swin", "window_size": 8, "use_fp16": True,
    "representation_config": {"use_color": True}}}

NETWORKS = {"dino": DINO, "structure_flow": STRUCTURE_FLOW, "structure_decoder": STRUCTURE_DECODER,
            "structure_encoder": STRUCTURE_ENCODER, "latent_encoder": LATENT_ENCODER, "latent_flow": LATENT_FLOW,
            "gaussian_decoder": GAUSSIAN_DECODER, "mesh_decoder": MESH_DECODER}
SHIPPED = ("dino", "structure_flow", "structure_decoder", "latent_flow", "gaussian_decoder", "mesh_decoder")

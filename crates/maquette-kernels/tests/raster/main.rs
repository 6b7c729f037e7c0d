//! Sorting, splats, meshes and baking: against the reference pictures (tolerances: goldens/raster/README) and against the
//! definitions in `maquette-mesh`, on the base tier's limits where there is an adapter, and on the CPU tier always.

#[path = "../../../maquette-mesh/tests/goldens_support/mod.rs"]
mod goldens_support;

mod bake;
mod devices;
mod mesh;
mod sort;
mod splat;

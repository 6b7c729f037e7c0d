//! WGSL sources of maquette, resolved and validated at build time.

//! Every kernel against f64 on random shapes, on every tier that the machine has. A machine without any Vulkan adapter runs
//! the same cases on the CPU tier, where they check the default bodies.

mod attention;
mod flexicubes;
mod heads;
mod linear;
mod norm;
mod pictures;
mod prepare;
mod sparse;
mod support;

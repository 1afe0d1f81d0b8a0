//! The reference evaluator and the compiled image agree, and the compiler refuses what the kernel cannot judge.

mod agreement;
mod bounds;
mod disk;
pub(crate) mod generate;
mod sensitivity;
mod shadows;

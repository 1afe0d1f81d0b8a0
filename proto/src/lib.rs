//! The wire types of `stayhand.v1` and their conversions from and to the domain types of the guardrail crate.
//! The only owner of wire types; a conversion adds no meaning and never decides anything.
//!
//! Into the wire: `From`. Out of it: `TryFrom`, which takes every field apart and refuses what a hostile peer
//! could have written, naming the field ([`convert::Invalid`]).

pub mod codec;
pub mod convert;
pub mod failure;
pub mod limits;
pub mod message;
pub mod protocol;
pub mod resources;
pub mod view;

/// Generated from `proto/stayhand/v1/*.proto`; checked by `tests/generated.rs`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code follows its generator's style"
)]
#[rustfmt::skip]
pub mod v1 {
    include!("generated/stayhand.v1.rs");
}

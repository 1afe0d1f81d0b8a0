//! Signing in with the real programs at a real identity provider (npm's `oidc-provider`, which is certified), started here: HTTPS,
//! authorization code, PKCE, and a browser that is one of ours.
//!
//! Ignored by `cargo test`, because it needs Node and the provider: `cargo xtask test` installs it and runs this.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod place;
#[cfg(test)]
mod signing;

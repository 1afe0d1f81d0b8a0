//! Logins as PAM makes them: a session of its own, a terminal, the login uid, the user's groups and environment.
//!
//! [`Session`] is somebody at a terminal: types, reads, waits.

mod session;
mod user;

pub use session::{Session, Typed};
pub use user::become_user;

//! Bounds of what travels, each with its reason. Both ends use them: what one sends, the other takes.

use stayhand_guardrail::{limits::GRANT_DURATION_MAX, time::DurationMs};

/// Bytes of one message: the desired state of a host carries every policy, see [`SOURCES_BYTES_MAX`].
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one message of a host: twice a batch, and more than any hold, acknowledgement or list of problems has. Ten thousand
/// hosts may each have begun one.
pub const HOST_MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes of the events in one batch; a single event is sent whatever it has, and has far less.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of all policy sources together: half a message, so that leases and answers always fit beside them.
pub const SOURCES_BYTES_MAX: usize = 8 << 20;
/// Events of one batch; agents fill it by [`BATCH_BYTES_MAX`] first.
pub const BATCH_EVENTS_MAX: usize = 512;
/// Bytes of one event: several times its arguments, its paths and its texts at their longest.
pub const EVENT_BYTES_MAX: usize = 512 << 10;
/// Bytes of a path: overlay and bind mounts can make one longer than `PATH_MAX`, nothing makes it this long.
pub const PATH_BYTES_MAX: usize = 16 << 10;
/// Bytes of a task's or a terminal's name: the kernel's own bounds are 16 and 64.
pub const SHORT_BYTES_MAX: usize = 256;
/// Arguments of one process: more than anybody reads; the agent cuts far earlier.
pub const ARGUMENTS_MAX: usize = 4_096;
/// Bytes of all arguments of one process: the kernel's bound for a single one (`MAX_ARG_STRLEN`).
pub const ARGUMENTS_BYTES_MAX: usize = 128 << 10;
/// Bytes of a text that a host or a person wrote: a reason, a message, a detail, a version.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// Items of a list of texts: reasons of a rejection, hooks, permissions, hosts.
pub const ITEMS_MAX: usize = 1_024;
/// Leases or answers of one host state: far above what the kernel's maps take, so that the host says so itself.
pub const STATE_ITEMS_MAX: usize = 65_536;

/// Longest freshness, in a state and in what a host says that it keeps to: no grant lasts longer, so a longer one would end nothing.
pub const FRESH_FOR_MAX: DurationMs = GRANT_DURATION_MAX;
/// Resources that a hello names: some 100 bytes each. A host that holds more is sent everything.
pub const HELD_RESOURCES_MAX: usize = 4_096;

/// Bytes of a message that asks for a certificate: a request, a key and a signature have some 600 together.
pub const CREDENTIAL_BYTES_MAX: usize = 8 << 10;

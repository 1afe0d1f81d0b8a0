//! Bounds of the control plane, each with its reason.

use std::time::Duration;

use stayhand_guardrail::{id::EventSeq, time::DurationMs};

/// Items of a page that asks for no size.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Items of the largest page; more is coerced, so that an answer stays within a message.
pub const PAGE_SIZE_MAX: u32 = 250;
/// Holds of the largest page: with every argument of its process a hold can have 200 KiB.
pub const HOLDS_PAGE_SIZE_MAX: u32 = 64;
/// Events that are read at once for a tail: bounds the memory per reader, whatever its speed.
pub const TAIL_PAGE: u32 = 64;
/// Messages that wait for a slow client before its stream waits, too.
pub const STREAM_BUFFER: usize = 4;
/// Calls at once on one connection: a client's own watches and a few commands.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Connections of one user: the operators' socket is open to everybody, and nobody may use it up for all.
pub const CONNECTIONS_PER_UID_MAX: usize = 64;
/// Connections of all users; each costs a descriptor or two.
pub const CONNECTIONS_MAX: usize = 2_048;
/// An ordinary call that takes longer is stuck.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// An agent says hello at once.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a host hears that the control plane is there, and how often every stream looks again by itself,
/// should a signal have been missed.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_secs(3);
/// How often time is looked at: a grant's end shows in lists at most this late. The kernel does not wait for it.
pub const TICK: Duration = Duration::from_millis(250);
/// How long after its deadline a hold counts as timed out if its host says nothing: the host's word comes first.
pub const HOLD_GRACE: DurationMs = DurationMs::from_secs(3);
/// Grants or holds that one tick ends in one transaction; the rest follows in the next.
pub const ENDINGS_PER_TICK: u32 = 200;
/// Locks that are named with a grant, and the rest counted: each has its reason, and pages have many grants.
pub const LOCKS_SHOWN_MAX: usize = 4;
/// How far a host's generation may be ahead of the store's: a store that was restored is behind by some changes,
/// not by this many.
pub const GENERATION_LEAP_MAX: u64 = 1 << 32;
/// Candidates that are looked up for an ambiguous prefix: more than an error shows.
pub const CANDIDATES: u32 = 5;
/// Reasons of a rejection or problems of a host that are kept, and the length of each: a screenful. Agents send twenty, and how
/// many more there are.
pub const REASONS_MAX: usize = 21;
/// See [`REASONS_MAX`].
pub const REASON_CHARS_MAX: usize = 500;
/// Hooks of a host that are kept, those that are attached and those that are gone: agents have some fifty.
pub const HOOKS_MAX: usize = 128;
/// Policies of a host's own floor that are kept: agents take sixteen.
pub const FLOOR_SHOWN_MAX: usize = 32;
/// Characters of one fact that a host says of itself: a hook, a policy of its floor, a version. Honest ones have less than a hundred;
/// a page of hosts has those of all of them, and one host is not to fill it.
pub const FACT_CHARS_MAX: usize = 200;
/// Hosts of a list that say at length why they reject: more than anybody reads, at up to 20 KiB each. The others are asked by name.
pub const REJECTIONS_SHOWN_MAX: usize = 32;
/// How long a stop waits for calls to finish.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest number of an event: what every JSON reader takes without rounding, and more than a host makes in a
/// thousand years.
pub const EVENT_SEQ_MAX: EventSeq = EventSeq(1 << 53);
/// What it is where nobody says: a host that is being set up now.
pub const JOIN_TOKEN_DEFAULT: DurationMs = DurationMs::from_secs(15 * 60);
/// Join tokens that are worth something at once: more than anybody looks through.
pub const JOIN_TOKENS_MAX: usize = 100;
/// How long a token is remembered after its end, so that somebody who shows it is noticed.
pub const TOKEN_MEMORY: DurationMs = DurationMs::from_secs(7 * 24 * 3_600);
/// How often it is recorded that somebody shows a token that is worth nothing, that a subject of the identity provider is not linked, or
/// that a host is not let back in: whoever is refused so could fill the record.
pub const JOIN_REFUSAL_PAUSE: DurationMs = DurationMs::from_secs(60);
/// How often it is recorded that a host is not let back in: one that was put out and whose agent runs on asks every minute for ever.
pub const RECOVERY_REFUSAL_PAUSE: DurationMs = DurationMs::from_secs(6 * 3_600);
/// How often a host may come back by its bound key: twice within this is a copy of it, or a disk that forgets.
pub const RECOVERY_PAUSE: DurationMs = DurationMs::from_secs(60);
/// How often a token is answered again for the host that joined with it, within the lifetime of a certificate: an answer that was lost
/// on the way, a few times. Each leaves a certificate behind that nobody has shown.
pub const JOINS_AGAIN_MAX: u32 = 8;
/// Certificates of one host that count at once: two of its own rhythm, and what changes of authorities add.
pub const CERTIFICATES_PER_HOST_MAX: u32 = 16;
/// Lifetime of a host's certificate; renewed after half of it.
pub const CERTIFICATE_LIFETIME: DurationMs = DurationMs::from_secs(24 * 3_600);
/// Time for a handshake: some round trips on a bad line, and not the minutes that somebody would like who holds places.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at once: a fleet that comes back, at a millisecond of work each.
pub const HANDSHAKES_MAX: usize = 1_024;
/// The same from one address, so that one cannot take all of them; hosts behind one gateway come again in a moment.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 256;
/// Connections of hosts: ten thousand, and as many again while they come back and the old ones are not noticed to be gone.
pub const HOST_CONNECTIONS_MAX: usize = 20_000;
/// Connections with one certificate: one, and those that are not noticed to be gone.
pub const CONNECTIONS_PER_CERTIFICATE_MAX: usize = 4;
/// Hosts that join at once.
pub const JOINERS_MAX: usize = 256;
/// The same from one address.
pub const JOINERS_PER_ADDRESS_MAX: usize = 64;
/// Time of a connection of somebody who joins: one call.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time of a connection whose certificate is over: to be told so.
pub const REFUSED_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at once on a connection of somebody who joins.
pub const STREAMS_PER_JOINER_MAX: u32 = 2;
/// Authorities at once: the one that issues and the one before it. A third would leave open which hosts believe whom.
pub const AUTHORITIES_MAX: usize = 2;
/// Streams of one host: two of its own, two while it moves to another certificate, and as many that are not noticed to be gone.
pub const STREAMS_PER_HOST_MAX: usize = 8;
/// Messages of one host on its Sync stream: each is a transaction, and a host has a few in a second at most while nothing is wrong.
pub const HOST_MESSAGES_PER_SECOND: u32 = 100;
/// So many at once: every hold that a host can have after a reconnect.
pub const HOST_MESSAGES_BURST: u32 = 4_096;
/// Batches of events of one host; at the full size of a batch that is more than a kernel's rings can carry.
pub const HOST_BATCHES_PER_SECOND: u32 = 50;
/// So many at once: what a spool has after an hour without a control plane.
pub const HOST_BATCHES_BURST: u32 = 500;
/// KiB of events of one host: some thousands of events, and hours until one host has filled a disk that nobody looks at.
pub const HOST_KIB_PER_SECOND: u32 = 2 << 10;
/// So many at once: a spool as it is after a long time without a control plane.
pub const HOST_KIB_BURST: u32 = 256 << 10;
/// How often somebody whose events have no room looks whether there is some now.
pub const ROOM_PAUSE: Duration = Duration::from_secs(2);
/// Holds of one host that are not over: what its kernel has room for (`abi::hold::HOLDS_MAX`).
pub const HOLDS_PER_HOST_MAX: u32 = 4_096;
/// How long signing in counts where nobody says otherwise: a day's work.
pub const SESSION_LIFETIME: DurationMs = DurationMs::from_secs(8 * 3_600);
/// Sessions of one person that count at once: the machines that somebody has, and tries.
pub const SESSIONS_PER_USER_MAX: u32 = 32;
/// Sessions of one token that count at once: a program that runs a command every second.
pub const SESSIONS_PER_TOKEN_MAX: u32 = 4_096;
/// How long counts what a token opens: longer than any command of a program takes that does not wait for people.
pub const TOKEN_SESSION: DurationMs = DurationMs::from_secs(3_600);
/// How often it is recorded that a token opens sessions.
pub const TOKEN_EVENT_PAUSE: DurationMs = DurationMs::from_secs(600);
/// How exactly it is known when a session was used: a write for each connection would be for nothing.
pub const SESSION_USE_PAUSE: DurationMs = DurationMs::from_secs(60);
/// Tokens of one person that are worth something at once: more than anybody looks through.
pub const ACCESS_TOKENS_PER_USER_MAX: usize = 100;
/// Characters of what a token is for: a line.
pub const PURPOSE_CHARS_MAX: usize = 80;
/// Connections with one session: what a person has open, and a program that runs commands at once.
pub const CONNECTIONS_PER_SESSION_MAX: usize = 16;
/// Connections of operators over the network.
pub const OPERATOR_CONNECTIONS_MAX: usize = 2_048;
/// Words of hosts that one transaction takes: at some 10 µs each it holds the writer for some 40 ms, and its wait for the disk is
/// shared by thousands.
pub const WORDS_PER_COMMIT_MAX: usize = 4_096;
/// How long a heartbeat waits for others to be committed with: a fleet's come all the time, and nobody waits for one.
pub const HEARTBEAT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a message of a host, from its first byte to its last: what it has sent so far is kept in memory meanwhile. Longer than
/// its words are ever held up here, which a host is not to blame for.
pub const HOST_MESSAGE_TIMEOUT: Duration = Duration::from_mins(1);
/// Whoever watches a grant rests for so many times as long as a look at every host took: a watch takes a quarter of a processor at
/// most, however many hosts answer.
pub const WATCH_REST: u32 = 3;

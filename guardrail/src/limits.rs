//! Every bound of policies, grants and holds, each with its reason. Kernel bounds are `abi`'s.

use crate::time::DurationMs;

/// Bytes of one policy document: far beyond what people review, small enough to parse on every host.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Nesting of one document: the language needs 7 levels; more is an attack on the parser.
pub const NESTING_MAX: usize = 16;
/// Nodes of one document (keys, values, items): bounds memory at some 100 MiB.
pub const DOCUMENT_NODES_MAX: usize = 200_000;
/// Findings that one check reports: more is noise.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Bytes of an excerpt in a finding: one terminal line.
pub const EXCERPT_BYTES_MAX: usize = 80;

/// Rules of one policy: the first performance bar is set at 1,000 rules, and the image has room for 16,384
/// entries.
pub const RULES_MAX: usize = 2_000;
/// Permissions of one policy.
pub const PERMISSIONS_MAX: usize = 500;
/// Profiles of one policy: tasks that people ask for by name.
pub const PROFILES_MAX: usize = 50;
/// Parameters of one profile: each is typed by whoever asks for it.
pub const PARAMETERS_MAX: usize = 8;
/// Values of one `enum`.
pub const ENUM_MAX: usize = 64;
/// Bytes of a value: longer than any path that people type, and 8 of them still fit one reference of a lease.
pub const VALUE_BYTES_MAX: usize = 1_000;
/// Values that are put into permissions when a policy is read, to see that each fits where it is used: bounds it to some
/// 100 ms.
pub const TRIED_VALUES_MAX: usize = 10_000;
/// Permissions with values that live grants carry on one host: one object has room for 64 of them, and each is an entry more.
pub const INSTANCES_MAX: usize = 256;
/// Values that are tried for a permission when somebody asks what would allow an action.
pub const GUESSES_MAX: usize = 256;
/// Sets of destinations of one policy: environments, tiers and services that are told apart by name.
pub const SETS_MAX: usize = 100;
/// Presets of one policy; more than there are.
pub const PRESETS_MAX: usize = 32;
/// Approvals of one policy.
pub const APPROVALS_MAX: usize = 50;
/// Stages of one approval: nobody waits for more people one after the other.
pub const STAGES_MAX: usize = 5;
/// Approvers that one stage names, and those of its escalation.
pub const APPROVERS_MAX: usize = 32;
/// Named periods of one policy's calendar.
pub const PERIODS_MAX: usize = 100;
/// Windows of one rule, those of the periods that it names among them: with all of them on every day the kernel's spans
/// last for what is looked ahead.
pub const WINDOWS_MAX: usize = 8;
/// Flags of one rule, and of one test.
pub const FLAGS_PER_RULE_MAX: usize = 8;
/// Flags that are set at once: each is told to every host.
pub const FLAGS_MAX: usize = 64;
/// Longest time for which a flag is set: a freeze over the holidays; what lasts longer is a policy.
pub const FLAG_MAX: DurationMs = DurationMs::from_secs(31 * 86_400);
/// Longest time for which a join token is worth something: an image that is rolled out over a day.
pub const JOIN_TOKEN_MAX: DurationMs = DurationMs::from_secs(24 * 3_600);
/// Hosts that may join with one token: one scaling group.
pub const JOIN_TOKEN_USES_MAX: u32 = 1_000;
/// Longest session that somebody has after signing in: a day's work, and not the next one's.
pub const SESSION_MAX: DurationMs = DurationMs::from_secs(24 * 3_600);
/// Longest time of a certificate that somebody keeps for when nobody can sign in: a rotation of people on call.
pub const BREAK_GLASS_MAX: DurationMs = DurationMs::from_secs(31 * 86_400);
/// Longest time of a token for programs: a quarter, so that somebody looks at it again.
pub const ACCESS_TOKEN_MAX: DurationMs = DurationMs::from_secs(92 * 86_400);
/// Days from the beginning of a day (UTC) for which a host knows when rules count: a week without an agent. Later, and
/// earlier, they may.
pub const SCHEDULE_DAYS: u64 = 8;
/// Tests of one policy: five for each rule of the largest one, and a few seconds to judge them beside it.
pub const TESTS_MAX: usize = 10_000;
/// Actions on which two versions of a policy are compared, each at each time: each is judged up to eighteen times, which takes
/// some ten seconds for the largest policies.
pub const SAMPLES_MAX: usize = 5_000;
/// Times at which samples are judged where rules do not always count.
pub const TIMES_MAX: usize = 16;
/// Bytes of a test's name: one terminal line.
pub const TEST_NAME_BYTES_MAX: usize = 100;
/// Labels of one host, and labels that one policy asks for: environment, region, role, tier and the like.
pub const LABELS_MAX: usize = 32;
/// Labels, each with one value, that name the hosts which get a revision first: as many as a host can have.
pub const CANARY_LABELS_MAX: usize = LABELS_MAX;
/// Items of one list: paths, groups, users, ranges, ports.
pub const LIST_MAX: usize = 256;
/// Bytes of a path: `PATH_MAX` (linux/limits.h) with its NUL.
pub const PATH_BYTES_MAX: usize = 4_095;
/// Bytes of a component: `NAME_MAX` (linux/limits.h).
pub const NAME_BYTES_MAX: usize = 255;
/// Components of a path: the kernel's walk covers 64 levels with the root.
pub const DEPTH_MAX: usize = 48;
/// Different open components that one directory's entries can meet, in all policies together: each is tried for each
/// name there.
pub const WILDS_MAX: usize = 32;
/// Bytes of a message: a few terminal lines.
pub const MESSAGE_BYTES_MAX: usize = 500;
/// Bytes of a reason that somebody gives for a grant, an approval or a refusal.
pub const REASON_BYTES_MAX: usize = 1_000;

/// Shortest hold: below this nobody can answer.
pub const HOLD_TIMEOUT_MIN: DurationMs = DurationMs::from_secs(1);
/// Longest hold: a process that is stopped for more than a day has lost its connections and its caller.
pub const HOLD_TIMEOUT_MAX: DurationMs = DurationMs::from_secs(24 * 3_600);
/// What a rate counts at once at most: beyond it, nobody would call it a rate.
pub const RATE_LIMIT_MAX: u32 = 100_000;
/// Shortest time in which a rate refills: below it a rate says how fast a machine may be.
pub const RATE_PER_MIN: DurationMs = DurationMs::from_secs(1);
/// Longest one: buckets do not outlive a boot, and few hosts run for longer than a month.
pub const RATE_PER_MAX: DurationMs = DurationMs::from_secs(31 * 86_400);
/// Hold that says nothing about time.
pub const HOLD_TIMEOUT_DEFAULT: DurationMs = DurationMs::from_secs(300);

/// Locks that stand at once: each is looked at with every grant and every hold.
pub const LOCKS_MAX: usize = 1_024;
/// Longest lock with an end: a year; whoever means longer takes none and takes it away by hand.
pub const LOCK_MAX: DurationMs = DurationMs::from_secs(366 * 86_400);

/// Shortest grant: below this the host's acknowledgement takes longer than the grant.
pub const GRANT_DURATION_MIN: DurationMs = DurationMs::from_secs(1);
/// Longest grant: a week; a longer need is a change of policy.
pub const GRANT_DURATION_MAX: DurationMs = DurationMs::from_secs(7 * 86_400);
/// Permissions of one grant.
pub const GRANT_PERMISSIONS_MAX: usize = 64;

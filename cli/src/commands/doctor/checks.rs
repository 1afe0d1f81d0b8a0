//! The checks of `stayhand doctor`: what was found, and the remedy.

use stayhand_guardrail::text::{Safe, safe};

use super::{Check, Status};
use crate::{
    client::Agent,
    failure::{Failure, Kind},
    time::Moment,
    view::{AgentStatus, Host, prose},
};

/// A state older than this is worth a look: the control plane proves itself every few seconds.
const STATE_AGE_SECONDS_MAX: i64 = 60;
/// Events that wait on the host: more than a burst.
const BACKLOG_MAX: u64 = 10_000;
/// The security modules that the kernel runs, in order.
const LSM_LIST: &str = "/sys/kernel/security/lsm";
/// Where agents pin their links, below a directory per layout; what is there is enforced with no agent alive.
const PINS: &str = "/sys/fs/bpf/stayhand";
const LOGIN_UID: &str = "/proc/self/loginuid";
/// The login uid of a process that nobody logged in for.
const NO_LOGIN_UID: &str = "4294967295";

/// What the agent says of itself.
pub(super) fn agent(told: &AgentStatus, moment: &Moment) -> Vec<Check> {
    vec![
        version(told),
        enforced(told),
        hooks(told),
        generation(told),
        floor(told),
        state_age(told, moment),
        backlog(told),
    ]
}

fn version(told: &AgentStatus) -> Check {
    let (agent, here) = (safe(&told.version), env!("CARGO_PKG_VERSION"));
    let detail = format!(
        "agent {agent}, this program {here}, kernel {}",
        safe(&told.kernel_release)
    );
    if told.version == here {
        return Check::ok("versions", detail);
    }
    let remedy = "finish the upgrade: the agent and the programs on a host are of one version";
    Check::bad("versions", Status::Warning, detail, remedy)
}

fn enforced(told: &AgentStatus) -> Check {
    if told.enforced {
        let holds = match told.holds_pending {
            0 => "nothing waits".to_owned(),
            1 => "1 hold waits".to_owned(),
            many => format!("{many} holds wait"),
        };
        return Check::ok("enforced", holds);
    }
    let problems: Vec<String> = told.problems.iter().map(|problem| prose(problem)).collect();
    let detail = if problems.is_empty() {
        "the agent gives no reason".to_owned()
    } else {
        problems.join("; ")
    };
    let remedy = match lsm_list() {
        Some(list) if !has_bpf(&list) => {
            format!("the kernel runs `{list}`: {}", boot_with(&list))
        }
        _ => "see what the agent says: journalctl -u stayhand-agent".to_owned(),
    };
    Check::bad(
        "enforced",
        Status::Failed,
        format!("NOT ENFORCED: {detail}"),
        remedy,
    )
}

fn hooks(told: &AgentStatus) -> Check {
    if told.hooks.is_empty() {
        let remedy = "without hooks the kernel asks nobody: journalctl -u stayhand-agent says why";
        return Check::bad("hooks", Status::Failed, "none is attached", remedy);
    }
    let names: Vec<String> = told.hooks.iter().map(|hook| safe(hook)).collect();
    Check::ok(
        "hooks",
        format!("{} attached: {}", names.len(), names.join(", ")),
    )
}

fn generation(told: &AgentStatus) -> Check {
    match told.generation {
        0 if !told.floor.is_empty() => Check::ok(
            "generation",
            "no state came from a control plane yet; the floor is enforced".to_owned(),
        ),
        0 => {
            let remedy = "apply a policy: stayhand policy apply FILE --wait";
            Check::bad(
                "generation",
                Status::Warning,
                "no policy is installed",
                remedy,
            )
        }
        generation => Check::ok("generation", format!("{generation} is enforced")),
    }
}

/// What is wrong with it is one of the agent's problems.
fn floor(told: &AgentStatus) -> Check {
    let shown: Vec<String> = told.floor.iter().map(|one| safe(one)).collect();
    Check::ok(
        "floor",
        match shown.join(", ") {
            none if none.is_empty() => {
                "none: what the control plane says is all that counts".into()
            }
            shown => shown,
        },
    )
}

/// How old the desired state can be: while the control plane is there it says so again and again.
fn state_age(told: &AgentStatus, moment: &Moment) -> Check {
    let remedy = "what is enforced stays; new grants and answers wait. See: systemctl status stayhand-control";
    let Some(seen) = told.control_seen_time else {
        let detail = "the agent has not seen a control plane since it started";
        return Check::bad("uplink", Status::Warning, detail, remedy);
    };
    let age = moment.now.as_second().saturating_sub(seen.0.as_second());
    let detail = format!(
        "the agent heard of the control plane {}",
        moment.relative(seen)
    );
    if told.control_connected && age <= STATE_AGE_SECONDS_MAX {
        return Check::ok("uplink", detail);
    }
    let state = if told.control_connected {
        "slow"
    } else {
        "not connected"
    };
    Check::bad(
        "uplink",
        Status::Warning,
        format!("{state}; {detail}"),
        remedy,
    )
}

fn backlog(told: &AgentStatus) -> Check {
    let waiting = told.events_spooled.saturating_sub(told.events_sent);
    let detail = format!("{} recorded, {waiting} not yet sent", told.events_spooled);
    if waiting <= BACKLOG_MAX {
        return Check::ok("events", detail);
    }
    let remedy =
        "nothing is lost while the spool has room; see that the control plane is reachable";
    Check::bad("events", Status::Warning, detail, remedy)
}

/// What can be seen of the kernel when the agent does not answer.
pub(super) struct Kernel {
    /// The security modules that run; nothing if that cannot be read
    lsm: Option<String>,
    /// Links that are pinned; nothing if the caller may not look
    links: Option<usize>,
}

impl Kernel {
    pub(super) fn look() -> Self {
        Self {
            lsm: lsm_list(),
            links: pinned_links().ok(),
        }
    }

    /// `Some(false)` where nothing can be enforced, whoever runs. Never `Some(true)`: pinned links alone do not say
    /// that every hook has one, nor which policy they enforce; only an agent does.
    pub(super) fn enforced(&self) -> Option<bool> {
        let without_lsm = self.lsm.as_deref().is_some_and(|list| !has_bpf(list));
        (without_lsm || self.links == Some(0)).then_some(false)
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        vec![self.lsm(), self.links()]
    }

    fn lsm(&self) -> Check {
        match &self.lsm {
            Some(list) if has_bpf(list) => {
                Check::ok("kernel", format!("BPF LSM is active: {list}"))
            }
            Some(list) => Check::bad(
                "kernel",
                Status::Failed,
                format!("BPF LSM is not active: {list}"),
                boot_with(list),
            ),
            None => Check::bad(
                "kernel",
                Status::Warning,
                format!("{LSM_LIST} cannot be read"),
                "as root: mount -t securityfs securityfs /sys/kernel/security",
            ),
        }
    }

    fn links(&self) -> Check {
        match self.links {
            None => Check::bad(
                "links",
                Status::Warning,
                "only root can see them",
                "run this as root",
            ),
            Some(0) => Check::bad(
                "links",
                Status::Failed,
                "none is pinned: no agent has enforced since boot, or it was uninstalled",
                "start it: systemctl start stayhand-agent",
            ),
            Some(count) => Check::ok(
                "links",
                format!("{count} pinned: what was enforced last goes on without the agent"),
            ),
        }
    }
}

fn has_bpf(list: &str) -> bool {
    list.split(',').any(|name| name == "bpf")
}

fn boot_with(list: &str) -> String {
    format!("boot with lsm={list},bpf on the kernel's command line")
}

/// Links of every layout: while one agent replaces another of an older layout, both are enforced.
fn pinned_links() -> std::io::Result<usize> {
    let missing_is_none = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(0),
        _ => Err(error),
    };
    let layouts = match std::fs::read_dir(PINS) {
        Ok(layouts) => layouts,
        Err(error) => return missing_is_none(error),
    };
    let mut count = 0;
    for layout in layouts {
        count += match std::fs::read_dir(layout?.path().join("links")) {
            Ok(links) => links.count(),
            Err(error) => missing_is_none(error)?,
        };
    }
    Ok(count)
}

/// Whether the control plane answers, and answers us.
pub(super) fn control(answer: &Result<Vec<Host>, Failure>) -> Check {
    match answer {
        Ok(hosts) => {
            let online = hosts.iter().filter(|host| host.online).count();
            Check::ok(
                "control",
                format!("answers; {online} of {} hosts online", hosts.len()),
            )
        }
        // It is there, and it knows us well enough to refuse.
        Err(failure) if failure.kind == Kind::Permission => {
            Check::ok("control", "answers, but not to you (see identity)")
        }
        Err(failure) => Check::of_failure("control", Status::Warning, failure),
    }
}

/// Who the caller is here.
pub(super) async fn identity(agent: Option<&Agent>, control: &Result<Vec<Host>, Failure>) -> Check {
    let mut known = login();
    if let Some(agent) = agent
        && let Ok(me) = agent.identify(std::process::id()).await
    {
        let name = me.subject.as_ref().map(crate::view::Subject::shown);
        let pinned = match (me.pinned, name) {
            (true, Some(name)) => format!("pinned to {name}"),
            _ => "not pinned to a login".to_owned(),
        };
        let guarded = if me.guarded { "guarded" } else { "not guarded" };
        known = format!("{known}, {pinned}, {guarded}");
    }
    match control {
        Ok(_) => Check::ok("identity", format!("operator: {known}")),
        Err(failure) if failure.kind == Kind::Permission => {
            let remedy =
                "operators log in with a login of their own that no policy guards on this host";
            Check::bad(
                "identity",
                Status::Warning,
                format!("not an operator: {known}; {}", failure.error),
                remedy,
            )
        }
        Err(_) => Check::ok(
            "identity",
            format!("{known}; whether an operator, only the control plane knows"),
        ),
    }
}

fn login() -> String {
    let uid = std::fs::read(LOGIN_UID).unwrap_or_default();
    match Safe(uid.trim_ascii()).to_string() {
        none if none.is_empty() || none == NO_LOGIN_UID => "no login uid".into(),
        uid => format!("login uid {uid}"),
    }
}

fn lsm_list() -> Option<String> {
    let list = std::fs::read(LSM_LIST).ok()?;
    Some(Safe(list.trim_ascii()).to_string()).filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Time;

    type Harm = fn(&mut AgentStatus);

    fn status() -> AgentStatus {
        AgentStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            enforced: true,
            problems: vec![],
            hooks: vec!["file_open".into()],
            kernel_release: "6.12".into(),
            generation: 3,
            floor: vec![],
            control_connected: true,
            control_seen_time: Some(Time("2026-11-21T10:59:58Z".parse().unwrap())),
            holds_pending: 0,
            events_spooled: 7,
            events_sent: 7,
        }
    }

    fn moment() -> Moment {
        Moment {
            now: "2026-11-21T11:00:00Z".parse().unwrap(),
            zone: jiff::tz::TimeZone::UTC,
        }
    }

    fn ill(told: &AgentStatus) -> Vec<&'static str> {
        let checks = agent(told, &moment());
        let ill = checks.iter().filter(|check| check.status != Status::Ok);
        ill.map(|check| {
            assert!(check.remedy.is_some(), "{check:?}");
            check.name
        })
        .collect()
    }

    #[test]
    fn a_healthy_agent_has_no_findings() {
        assert_eq!(ill(&status()), Vec::<&str>::new());
    }

    #[test]
    fn every_illness_is_found_with_a_remedy() {
        let cases: [(&str, Harm); 6] = [
            ("versions", |told| told.version = "9.9.9".into()),
            ("enforced", |told| told.enforced = false),
            ("hooks", |told| told.hooks.clear()),
            ("generation", |told| told.generation = 0),
            ("uplink", |told| told.control_connected = false),
            ("events", |told| told.events_spooled = 20_000),
        ];
        for (name, harm) in cases {
            let mut told = status();
            harm(&mut told);
            assert_eq!(ill(&told), [name]);
        }
    }

    #[test]
    fn without_an_agent_only_the_absence_of_enforcement_is_known() {
        let with = Some("lockdown,capability,bpf");
        let without = Some("lockdown,capability");
        for (lsm, links, enforced) in [
            (without, Some(6), Some(false)),
            (without, None, Some(false)),
            (with, Some(0), Some(false)),
            (None, Some(0), Some(false)),
            (with, Some(6), None),
            (with, None, None),
            (None, None, None),
        ] {
            let kernel = Kernel {
                lsm: lsm.map(str::to_owned),
                links,
            };
            assert_eq!(kernel.enforced(), enforced, "{lsm:?} {links:?}");
        }
    }

    #[test]
    fn an_old_state_is_found_even_while_connected() {
        let mut told = status();
        told.control_seen_time = Some(Time("2026-11-21T10:50:00Z".parse().unwrap()));
        assert_eq!(ill(&told), ["uplink"]);
        told.control_seen_time = None;
        assert_eq!(ill(&told), ["uplink"]);
    }
}

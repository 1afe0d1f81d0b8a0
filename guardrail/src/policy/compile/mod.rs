//! A set of policies to the image that the kernel looks up.
//!
//! Independent of slot, boot secret and object identities: those are the agent's to add. Refuses a set that the
//! kernel could not judge within its bounds, rather than leaving it to fail closed at run time.

mod error;

pub use error::CompileError;

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::abi::{
    code::{effect, op, protocol},
    image::{
        ENTRIES_PER_ATTEMPT_MAX, ENTRIES_PER_SLOT, Entry, Range, SUBJECT_SETS_MAX, entry_flag,
    },
    rate,
    schedule::SCHEDULES_PER_SLOT,
};

use super::{
    Mode, NamePattern, Permission, Policy, PortRange, Protocol, Ranges, Rate, Rule, Scope,
    Subjects, Target, Versioned, When, floor, when::Flags,
};
use crate::{
    id::Revision,
    image::{
        Image, NetRange, RuleInfo, SubjectSet, append,
        args::Conditions,
        nets::{Net, Prefixes},
        some_rules,
        trie::Trie,
    },
    key::{PermissionKey, PermissionRef, RuleKey, bucket_key, shadow_key},
    limits::INSTANCES_MAX,
    reason::Effect,
};

/// Compiles every policy of one host, without knowing which flags are set: a rule that counts while one is may count.
pub fn compile(policies: &[Versioned]) -> Result<Image, Vec<CompileError>> {
    compiled(policies, &[], None, &BTreeSet::new())
}

/// The same where just these flags are set.
pub fn compile_with(policies: &[Versioned], flags: &Flags) -> Result<Image, Vec<CompileError>> {
    compiled(policies, &[], Some(flags), &BTreeSet::new())
}

/// The same with what live grants carry: a permission with parameters is in the image with the values of grants only. What
/// no profile of these policies gives is left out, and permits nothing.
pub fn compile_granted(
    policies: &[Versioned],
    flags: Option<&Flags>,
    granted: &BTreeSet<PermissionRef>,
) -> Result<Image, Vec<CompileError>> {
    compiled(policies, &[], flags, granted)
}

/// The same with revisions beside them that only watch: whatever their mode is, they restrict nothing and permit nothing, no
/// grant covers what they restrict, and what they would have restricted is recorded under their own revision.
pub fn compile_beside(
    policies: &[Versioned],
    shadows: &[Versioned],
    flags: Option<&Flags>,
    granted: &BTreeSet<PermissionRef>,
) -> Result<Image, Vec<CompileError>> {
    compiled(policies, shadows, flags, granted)
}

fn compiled(
    policies: &[Versioned],
    shadows: &[Versioned],
    flags: Option<&Flags>,
    granted: &BTreeSet<PermissionRef>,
) -> Result<Image, Vec<CompileError>> {
    let mut sorted = in_order(policies);
    let watching = in_order(shadows);
    let mut compiler = Compiler {
        flags: flags.cloned(),
        ..Compiler::default()
    };
    let count = sorted.len() + watching.len();
    if count > SUBJECT_SETS_MAX as usize {
        return Err(vec![CompileError::TooManyPolicies(count)]);
    }
    let enforced = sorted.len();
    // ORDER: behind all others, so that they never come before one in what is recorded.
    sorted.extend(watching);
    for (index, one) in sorted.iter().enumerate() {
        if index > 0
            && index != enforced
            && sorted
                .get(index - 1)
                .is_some_and(|before| before.policy.name == one.policy.name)
        {
            compiler
                .errors
                .push(CompileError::Duplicate(one.policy.name.clone()));
        }
        compiler.is_shadow = index >= enforced;
        compiler.policy(one, 1 << index);
        if !compiler.is_shadow {
            compiler.granted(&one.policy, granted, 1 << index);
        }
    }
    compiler.finish()
}

fn in_order(policies: &[Versioned]) -> Vec<&Versioned> {
    let mut sorted: Vec<&Versioned> = policies.iter().collect();
    sorted.sort_by_key(|one| floor::order(&one.policy));
    sorted
}

#[derive(Default)]
struct Compiler {
    /// Those that are set, if that is known
    flags: Option<Flags>,
    trie: Trie,
    nets: Prefixes<Net>,
    names: Prefixes<NamePattern>,
    conditions: Conditions,
    schedules: Vec<When>,
    rates: Vec<rate::Rate>,
    /// Entries that have no object
    system: Vec<Entry>,
    rules: BTreeMap<RuleKey, RuleInfo>,
    permissions: BTreeMap<PermissionKey, PermissionRef>,
    /// How many of them have values
    instances: usize,
    subject_sets: Vec<SubjectSet>,
    order: u32,
    /// Whether the policy that is being compiled only watches
    is_shadow: bool,
    errors: Vec<CompileError>,
}

impl Compiler {
    fn policy(&mut self, one: &Versioned, subjects: u64) {
        let policy = &one.policy;
        let Subjects {
            groups,
            mut users,
            mut services,
        } = policy.subjects.clone();
        if self.is_shadow {
            // A pin lasts, and what is enforced would meet whoever has it: who is a service already is watched, nobody becomes one.
            users.append(&mut services);
        }
        self.subject_sets.push(SubjectSet {
            policy: policy.name.clone(),
            users,
            services,
            groups,
        });
        if self.is_shadow {
            // What it would record of what goes on is no business of anybody's yet.
            let rules = policy.rules.iter();
            for rule in rules.filter(|rule| rule.effect != Effect::Alert) {
                self.rule(one, rule, subjects);
            }
            return;
        }
        for permission in policy
            .permissions
            .iter()
            .filter(|one| one.template.is_none())
        {
            self.permission(policy, permission, subjects);
        }
        for rule in &policy.rules {
            self.rule(one, rule, subjects);
        }
    }

    /// A permission needs entries of its own only where no entries of a rule that always counts carry
    /// it.
    fn permission(&mut self, policy: &Policy, permission: &Permission, subjects: u64) {
        let reference = PermissionRef::plain(policy.name.clone(), permission.name.clone());
        let key = self.known(&reference);
        if policy
            .rules
            .iter()
            .any(|rule| rule.permission() == Some(&permission.name) && rule.when.is_none())
        {
            return;
        }
        self.permitted(key, subjects, &permission.targets);
    }

    /// Permissions with the values that grants carry.
    fn granted(&mut self, policy: &Policy, granted: &BTreeSet<PermissionRef>, subjects: u64) {
        for reference in granted {
            if let Some(targets) = policy.instance(reference) {
                let key = self.known(reference);
                self.instances += 1;
                self.permitted(key, subjects, &targets);
            }
        }
    }

    fn permitted(&mut self, key: PermissionKey, subjects: u64, targets: &[Target]) {
        let entry = Entry {
            effect: effect::PERMISSION,
            permission: key.get(),
            subjects,
            order: u32::MAX - 1,
            ..EMPTY
        };
        for target in targets {
            self.target(target, entry);
        }
    }

    /// Notes what a key means.
    fn known(&mut self, reference: &PermissionRef) -> PermissionKey {
        let key = reference.key();
        if let Some(other) = self.permissions.insert(key, reference.clone())
            && other != *reference
        {
            self.errors.push(CompileError::SameKey(
                other.to_string(),
                reference.to_string(),
            ));
        }
        key
    }

    fn rule(&mut self, one: &Versioned, rule: &Rule, subjects: u64) {
        let policy = &one.policy;
        let key = if self.is_shadow {
            shadow_key(&policy.name, one.revision, &rule.id)
        } else {
            RuleKey::of(&policy.name, &rule.id)
        };
        let permission = match &rule.scope {
            // No lease covers what a shadow restricts.
            _ if self.is_shadow => None,
            Scope::Permission(name) => {
                Some(PermissionRef::plain(policy.name.clone(), name.clone()))
            }
            Scope::Inline(_) | Scope::All(_) => None,
        };
        let info = RuleInfo {
            policy: policy.name.clone(),
            revision: one.revision,
            rule: rule.id.clone(),
            effect: rule.effect,
            message: rule.message.clone(),
            permission: permission.clone(),
            timeout: rule.timeout,
            approval: policy.approval(rule).map(ToString::to_string),
            sensitivity: rule.sensitivity,
            rate: rule.rate,
            monitor: self.is_shadow || policy.mode == Mode::Monitor,
            when: rule.when.clone(),
        };
        let name = info.shown();
        if let Some(other) = self.rules.insert(key, info) {
            self.errors.push(CompileError::SameKey(other.shown(), name));
        }
        let entry = Entry {
            rule: key.get(),
            permission: permission.map_or(0, |reference| reference.key().get()),
            subjects,
            effect: rule.effect.code(),
            order: self.order,
            timeout_ms: hold_ms(rule),
            flags: if self.is_shadow {
                entry_flag::MONITOR
            } else {
                flags(policy, rule)
            },
            rate: 0,
            schedule: rule.when.as_ref().map_or(0, |when| self.schedule(when)),
            ..EMPTY
        };
        let entry = Entry {
            rate: rule
                .rate
                .map_or(0, |rate| self.rate(&rate, one, rule, &entry)),
            ..entry
        };
        // Cannot reach the end: 64 policies of 2,000 rules.
        self.order = self.order.saturating_add(1);
        for target in policy.targets(rule) {
            self.target(target, entry);
        }
    }

    /// Row of a rate. Every rule has its own, so that rows are in the order of rules.
    fn rate(&mut self, rate: &Rate, one: &Versioned, rule: &Rule, entry: &Entry) -> u16 {
        let row = u16::try_from(self.rates.len()).unwrap_or(u16::MAX);
        self.rates.push(rate::Rate {
            rule: entry.rule,
            permission: entry.permission,
            bucket: bucket_key(&one.policy.name, &rule.id, &self.bucket(rate, one.revision)),
            order: entry.order,
            timeout_ms: entry.timeout_ms,
            flags: entry.flags,
            ..rate.row()
        });
        row
    }

    /// What a bucket is for; a shadow takes nothing from that of the revision which it is beside.
    fn bucket(&self, rate: &Rate, revision: Revision) -> String {
        if self.is_shadow {
            format!("{rate}\0shadow\0{revision}")
        } else {
            rate.to_string()
        }
    }

    /// Number of a schedule, from 1; equal ones are one.
    fn schedule(&mut self, when: &When) -> u32 {
        let resolved = self.flags.as_ref().map(|flags| when.resolved(flags));
        let when = resolved.unwrap_or_else(|| when.clone());
        let known = self.schedules.iter().position(|one| *one == when);
        let index = known.unwrap_or_else(|| {
            self.schedules.push(when);
            self.schedules.len() - 1
        });
        u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1))
    }

    fn target(&mut self, target: &Target, entry: Entry) {
        let entry = Entry {
            ops: target.operations(),
            ..entry
        };
        match target {
            Target::Exec { paths, args } => {
                // The condition's number, until its steps have places.
                let condition = self.conditions.add(args);
                for program in args.programs() {
                    self.trie.name(program);
                }
                for path in paths {
                    self.trie.add(
                        path,
                        Entry {
                            args_first: condition,
                            args_len: condition.min(1),
                            ..entry
                        },
                    );
                }
            }
            Target::File { paths, .. } => {
                for path in paths {
                    self.trie.add(path, entry);
                }
            }
            Target::Net {
                ranges, protocols, ..
            } => {
                let any = [Protocol(0)];
                let protocols = if protocols.is_empty() {
                    any.as_slice()
                } else {
                    protocols
                };
                for Protocol(protocol) in protocols {
                    let entry = Entry {
                        protocol: u32::from(*protocol),
                        ..entry
                    };
                    for one in ranges {
                        self.addresses(one, entry);
                    }
                }
            }
            Target::Unix { paths, names, .. } => {
                for path in paths {
                    self.trie.add(path, entry);
                }
                for name in names {
                    self.names.add(name.clone(), entry);
                }
            }
            Target::Vsock { ranges, .. } => {
                for range in ranges {
                    self.nets.add(Net::Vsock(*range), entry);
                }
            }
            Target::System { .. } => {
                if !self.system.contains(&entry) {
                    self.system.push(entry);
                }
            }
        }
    }

    fn addresses(&mut self, ranges: &Ranges, entry: Entry) {
        for cidr in &ranges.cidrs {
            for PortRange { first, last } in &ranges.ports {
                let entry = Entry {
                    port_first: *first,
                    port_last: *last,
                    ..entry
                };
                self.nets.add(Net::Internet(*cidr), entry);
            }
        }
    }

    fn finish(mut self) -> Result<Image, Vec<CompileError>> {
        let name = |rule: u64| {
            let info = RuleKey::from_raw(rule).and_then(|key| self.rules.get(&key));
            info.map_or_else(|| "a permission".to_owned(), RuleInfo::shown)
        };
        let automaton = self.trie.automaton();
        self.errors.extend(automaton.check(&name));
        let mut entries = Vec::new();
        let (nodes, edges) = automaton.flatten(&mut entries);
        let nets = self.nets.flatten(&mut entries, &name, &mut self.errors);
        let nets: Vec<NetRange> = nets.into_iter().map(net_range).collect();
        let names = self.names.flatten(&mut entries, &name, &mut self.errors);
        let system = append(&mut entries, &self.system);
        self.errors.extend(too_much_at_once(&self.system, &name));
        self.errors.extend(too_large(
            entries.len(),
            "entries",
            ENTRIES_PER_SLOT as usize,
        ));
        self.errors
            .extend(crate::image::too_large(&nodes, &edges, &nets, names.len()));
        self.errors.extend(too_large(
            self.schedules.len(),
            "different `when`s",
            SCHEDULES_PER_SLOT as usize - 1,
        ));
        self.errors.extend(too_large(
            self.rates.len(),
            "rules of effect `throttle`",
            rate::RATES_PER_SLOT as usize,
        ));
        self.errors.extend(too_large(
            self.instances,
            "granted permissions with parameters",
            INSTANCES_MAX,
        ));
        let (arguments, errors) = std::mem::take(&mut self.conditions).finish(&mut entries, &edges);
        self.errors.extend(errors);
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let Self {
            rules,
            permissions,
            subject_sets,
            schedules,
            rates,
            ..
        } = self;
        Ok(Image {
            nodes,
            edges,
            entries,
            nets,
            names,
            arguments,
            schedules,
            rates,
            system,
            subject_sets,
            rules,
            permissions,
        })
    }
}

fn net_range((net, range): (Net, Range)) -> NetRange {
    let (kind, addr, bits) = net.prefix();
    NetRange {
        kind,
        addr,
        bits,
        range,
    }
}

/// Every entry that has no object is met at once.
fn too_much_at_once(system: &[Entry], name: &dyn Fn(u64) -> String) -> Option<CompileError> {
    let (count, max) = (system.len(), ENTRIES_PER_ATTEMPT_MAX as usize);
    (count > max).then(|| CompileError::TooMuchAtOnce {
        place: "system".to_owned(),
        count,
        what: "entries",
        max,
        rules: some_rules(system, name),
    })
}

/// What `count` exceeds, if it does.
pub(crate) fn too_large(count: usize, what: &'static str, max: usize) -> Option<CompileError> {
    (count > max).then_some(CompileError::TooLarge { count, what, max })
}

const EMPTY: Entry = Entry {
    rule: 0,
    permission: 0,
    subjects: 0,
    effect: effect::DENY,
    ops: op::EXEC,
    order: u32::MAX - 1,
    timeout_ms: 0,
    flags: 0,
    rate: 0,
    port_first: PortRange::ANY.first,
    port_last: PortRange::ANY.last,
    args_first: 0,
    args_len: 0,
    protocol: protocol::ANY,
    schedule: 0,
};

fn hold_ms(rule: &Rule) -> u32 {
    if rule.holds() {
        u32::try_from(rule.timeout.0).unwrap_or(u32::MAX)
    } else {
        0
    }
}

fn flags(policy: &Policy, rule: &Rule) -> u16 {
    let monitor = if policy.mode == Mode::Monitor {
        entry_flag::MONITOR
    } else {
        0
    };
    let record = if rule.record { entry_flag::RECORD } else { 0 };
    monitor | record | policy.on_loss.flags()
}

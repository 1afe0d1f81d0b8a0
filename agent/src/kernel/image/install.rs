//! Installs images: builds the idle slot, reads it back, and flips in one write.
//!
//! Whatever fails before the flip leaves the active image as it was. The slot that was active is not touched before
//! the next installation, so that decisions that still read it end on what they began with.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use stayhand_agent_ebpf::abi::image::{
    ACTIVE_BUILDING, ACTIVE_FRESH_FOR, ACTIVE_IMAGE, ACTIVE_SLOT_MASK, GENERATION_MAX,
    active_generation, active_image,
};
use stayhand_guardrail::{id::Generation, image::Image, text::Safe};

use super::{
    super::{
        identity::{Identified, Identify, IdentityError},
        mounts::{Mounts, MountsError},
        pins::Pins,
        settings::Secret,
        table::TableError,
    },
    Desired, InstallReport, Published, Relabelled,
    automaton::{Automaton, TooLarge},
    graph::{EXPANDED_MAX, Graph, MOUNT_NODES_MAX},
    kept::{AWAY_MAX, Kept},
    programs,
    resolve::{Resolved, resolve},
    rows::Rows,
    tables::Tables,
    wall::{ReadClocks, WallClock},
};
use crate::clock::Now;

/// Least time between two flips: far longer than any decision takes, so that no decision sees its slot rebuilt.
pub const FLIP_INTERVAL: Duration = Duration::from_secs(1);

/// Concerns of one kind of look that are told; more are counted.
const CONCERNS_SHOWN: usize = 10;

/// Why an image was not installed. The active one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A map cannot be used, or is full.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An object that must be labelled cannot be.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Mounts are not known.
    #[error(transparent)]
    Mounts(#[from] MountsError),
    /// The image does not fit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Two names have one hash.
    #[error(
        "two names of the policies have one hash under this boot's secret; rename one, or reboot"
    )]
    Collision,
    /// It would not be told from no image.
    #[error("generation {0} is more than an image can have ({GENERATION_MAX})")]
    Generation(Generation),
    /// The kernel's rows are not what was written.
    #[error("map `{map}` does not read back as it was written; somebody else writes to it")]
    ReadBack {
        /// The map
        map: &'static str,
    },
}

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its number
    pub generation: Generation,
    /// Its slot
    pub slot: u32,
}

pub(super) type ReadMounts = Box<dyn Fn() -> Result<Mounts, MountsError> + Send>;

/// The one writer of images. Its calls block for the time that labelling and writing take, and for up to
/// [`FLIP_INTERVAL`] after the last flip.
pub struct Installer {
    tables: Tables,
    /// Told of each image before it is the active one
    published: Arc<Published>,
    identify: Box<dyn Identify + Send>,
    mounts: ReadMounts,
    wall: WallClock,
    secret: Secret,
    flip_interval: Duration,
    installed: Option<(Desired, Rows)>,
    last_flip: Option<Instant>,
    kept: Kept,
    /// Whether what an earlier agent labelled was looked at
    recovered: bool,
    concerns: Vec<String>,
}

impl Installer {
    /// Opens the pinned maps.
    pub fn open(
        pins: &Pins,
        identify: Box<dyn Identify + Send>,
        secret: Secret,
        published: Arc<Published>,
    ) -> Result<Self, InstallError> {
        let made = Self::with(
            Tables::open(pins)?,
            identify,
            Box::new(Mounts::read),
            Box::new(Now::read),
            secret,
            FLIP_INTERVAL,
        )?;
        Ok(Self { published, ..made })
    }

    pub(super) fn with(
        tables: Tables,
        identify: Box<dyn Identify + Send>,
        mounts: ReadMounts,
        clocks: ReadClocks,
        secret: Secret,
        flip_interval: Duration,
    ) -> Result<Self, InstallError> {
        let mut made = Self {
            tables,
            published: Arc::default(),
            identify,
            mounts,
            wall: WallClock::new(clocks),
            secret,
            flip_interval,
            installed: None,
            last_flip: None,
            kept: Kept::default(),
            recovered: false,
            concerns: Vec::new(),
        };
        // An earlier agent may have flipped just now.
        made.last_flip = made.active()?.map(|_| Instant::now());
        Ok(made)
    }

    #[cfg(test)]
    pub(super) fn keep_at_most(&mut self, away: usize) {
        self.kept.at_most(away);
    }

    /// What the kernel enforces now; `None` before the first installation on this boot.
    pub fn active(&self) -> Result<Option<Active>, InstallError> {
        let raw = self.tables.active.get(&ACTIVE_IMAGE)?.unwrap_or(0);
        let slot = u32::from(raw & ACTIVE_SLOT_MASK != 0);
        Ok((raw != 0).then_some(Active {
            generation: Generation(active_generation(raw)),
            slot,
        }))
    }

    /// Installs and flips.
    pub fn install(&mut self, desired: Desired) -> Result<InstallReport, InstallError> {
        if desired.generation.0 > GENERATION_MAX {
            return Err(InstallError::Generation(desired.generation));
        }
        let slot = self.active()?.map_or(0, |active| active.slot ^ 1);
        let (rows, resolved, mut graph) = self.rows(&desired, slot)?;
        if let Some(last) = self.last_flip {
            std::thread::sleep(self.flip_interval.saturating_sub(last.elapsed()));
        }
        if let Err(error) = self.build(slot, &rows) {
            // The mark of building stays: the slot is not whole until the next installation. Its rows go, because
            // they take room from it; if even that fails, the next installation clears them.
            drop(self.tables.clear(slot));
            return Err(error);
        }
        let active = active_image(desired.generation.0, slot);
        self.published.publish(active, &desired.image);
        // ORDER: what lets leases count for a shorter time comes before the image, and what lets them count longer after it. A flip
        // that fails leaves the shorter of both.
        let (fresh_for, before) = (desired.fresh_for_ns(), self.fresh_for()?);
        if fresh_for < before {
            self.put_fresh_for(fresh_for)?;
        }
        self.tables.active.put(&ACTIVE_IMAGE, &active)?;
        if fresh_for > before {
            self.put_fresh_for(fresh_for)?;
        }
        self.last_flip = Some(Instant::now());
        self.tables.active.put(&ACTIVE_BUILDING, &0)?;
        self.tables.put_unruled(&rows)?;
        self.tables.clear_buckets(&rows)?;
        self.kept.prune(&mut graph);
        let report = InstallReport::new(desired.generation, slot, &rows, resolved);
        self.installed = Some((desired, rows));
        Ok(report)
    }

    fn fresh_for(&self) -> Result<u64, TableError> {
        Ok(self.tables.active.get(&ACTIVE_FRESH_FOR)?.unwrap_or(0))
    }

    fn put_fresh_for(&mut self, fresh_for_ns: u64) -> Result<(), TableError> {
        self.tables.active.put(&ACTIVE_FRESH_FOR, &fresh_for_ns)
    }

    fn build(&mut self, slot: u32, rows: &Rows) -> Result<(), InstallError> {
        self.tables
            .active
            .put(&ACTIVE_BUILDING, &(u64::from(slot) + 1))?;
        self.tables.count_change()?;
        self.tables.clear(slot)?;
        self.tables.write(slot, rows)?;
        self.compare(slot, rows)?;
        self.tables.take_ruled(rows)?;
        self.nothing_is_passed_over(rows)
    }

    fn compare(&self, slot: u32, rows: &Rows) -> Result<(), InstallError> {
        match rows.difference(&self.tables.read(slot, rows)?) {
            None => Ok(()),
            Some(map) => Err(InstallError::ReadBack { map }),
        }
    }

    fn nothing_is_passed_over(&self, rows: &Rows) -> Result<(), InstallError> {
        match self.tables.passed_over(rows)? {
            None => Ok(()),
            Some(map) => Err(InstallError::ReadBack { map }),
        }
    }

    /// What could not be done as it should when objects were looked at last; each line says what holds instead.
    pub fn concerns(&self) -> Vec<String> {
        self.concerns.clone()
    }

    fn rows(
        &mut self,
        desired: &Desired,
        slot: u32,
    ) -> Result<(Rows, Resolved, Graph), InstallError> {
        // First of all: an identity that is met after this is a new object's.
        self.kept.forget(&self.identify.ended());
        let mounts = (self.mounts)()?;
        let mut graph = Graph::new(&desired.image);
        let mut unseen = Vec::new();
        self.expand(&mut graph, &mounts, &mut unseen);
        graph.add_real_names(|path| self.real(path));
        graph.add_mounts(&mounts);
        if !self.recovered {
            if let Some(active) = self.active()? {
                let secret = self.secret.key();
                self.kept
                    .recover(&self.tables, active.slot, secret, &graph, &mounts)?;
            }
            self.recovered = true;
        }
        let before = self.kept.seen();
        let mut resolved = resolve(&mut graph, self.identify.as_ref(), &mounts, before)?;
        resolved.problems.extend(unseen);
        self.concerns = concerns(&desired.image, &graph, &resolved);
        self.kept.label(&mut graph, &mut resolved);
        self.concerns.extend(self.kept_concerns());
        let automaton = Automaton::build(&desired.image, &graph, &resolved)?;
        let wall = self.wall.look();
        let rows = Rows::build(desired, &automaton, slot, self.secret.key(), &wall)
            .ok_or(InstallError::Collision)?;
        Ok((rows, resolved, graph))
    }

    /// Adds the names that patterns mean: on the way to mounts and to what was found before, and whatever is there.
    fn expand(&self, graph: &mut Graph, mounts: &Mounts, unseen: &mut Vec<String>) {
        let points = mounts.0.iter().map(|mount| &mount.point);
        let known: BTreeSet<Vec<u8>> = points.chain(self.kept.paths()).cloned().collect();
        graph.expand(&known, &mut |directory| {
            let path = Path::new(OsStr::from_bytes(directory));
            self.identify.names(path).unwrap_or_else(|error| {
                let error = crate::exit::chain(&error);
                unseen.push(format!("names in {}: {error}", Safe(directory)));
                Vec::new()
            })
        });
    }

    /// The path without symbolic links; none if it names nothing, or if nobody answers.
    fn real(&self, path: &[u8]) -> Option<Vec<u8>> {
        match self.identify.identify(Path::new(OsStr::from_bytes(path))) {
            Ok(Identified::Object(_, place) | Identified::ByName(place)) => {
                Some(place.real.into_os_string().into_vec())
            }
            Ok(Identified::Missing) | Err(_) => None,
        }
    }

    fn kept_concerns(&self) -> Vec<String> {
        let (away, overflow) = self.kept.counts();
        let unwatched = self.identify.unwatched();
        let mut concerns = Vec::new();
        if overflow > 0 {
            concerns.push(format!(
                "{overflow} moved or replaced objects lost their rules: more than {AWAY_MAX} are kept ({away} now); \
                 see who moves them"
            ));
        }
        if unwatched > 0 {
            concerns.push(format!(
                "the end of {unwatched} labelled objects is not noticed (see `fs.inotify.max_user_watches`); they keep \
                 their rules"
            ));
        }
        concerns
    }

    /// Looks at mounts, objects and clocks again, for those that came, went, were replaced or set since. Cheap when nothing
    /// changed: one open per path of a rule.
    pub fn relabel(&mut self) -> Result<Relabelled, InstallError> {
        let Some(active) = self.active()? else {
            return Ok(Relabelled::Nothing);
        };
        let Some((desired, old)) = self.installed.take() else {
            return Ok(Relabelled::Nothing);
        };
        let built = self.rows(&desired, active.slot);
        let (desired, old) = self.installed.insert((desired, old));
        let (new, _, _) = built?;
        match new.difference(old) {
            None => return Ok(Relabelled::Unchanged),
            Some("LABELS") if only_labels(&new, old) => {}
            Some(_) => {
                let desired = desired.clone();
                return self
                    .install(desired)
                    .map(|report| Relabelled::Reinstalled(Box::new(report)));
            }
        }
        let (set, removed) = self.tables.exchange_labels(active.slot, old, &new)?;
        let desired = desired.clone();
        self.installed = Some((desired, new));
        Ok(Relabelled::Labels { set, removed })
    }

    /// Compares the live image with what was installed: an error names the map that somebody else wrote to.
    pub fn verify(&self) -> Result<(), InstallError> {
        match (&self.installed, self.active()?) {
            (Some((desired, rows)), Some(active)) if active.generation == desired.generation => {
                self.nothing_is_passed_over(rows)?;
                self.compare(active.slot, rows)?;
                if self.fresh_for()? == desired.fresh_for_ns() {
                    Ok(())
                } else {
                    Err(InstallError::ReadBack { map: "ACTIVE" })
                }
            }
            (None, _) => Ok(()),
            _ => Err(InstallError::ReadBack { map: "ACTIVE" }),
        }
    }
}

fn only_labels(new: &Rows, old: &Rows) -> bool {
    let mut labels_aside = old.clone();
    labels_aside.labels.clone_from(&new.labels);
    labels_aside.label_bits.clone_from(&new.label_bits);
    new.difference(&labels_aside).is_none()
}

/// What resolving came to that somebody should know.
fn concerns(image: &Image, graph: &Graph, resolved: &Resolved) -> Vec<String> {
    let mut concerns: Vec<String> = resolved
        .problems
        .iter()
        .map(|problem| format!("matched by name only: {problem}"))
        .collect();
    let withheld = graph.nodes().filter(|(node, _, _)| graph.withholds(*node));
    concerns.extend(withheld.map(|(_, _, path)| {
        format!(
            "permissions on `{}` do not count: the path leads through a link or a second mount; name the place itself",
            Safe(path)
        )
    }));
    let untold = programs::untold(image, resolved);
    let programs = graph.nodes().filter(|(node, _, _)| untold.contains(node));
    concerns.extend(programs.map(|(_, _, path)| {
        format!(
            "`{}` is no program that can be told from others: any process may come from it, for rules that ask",
            Safe(path)
        )
    }));
    if graph.expansions_left_out() > 0 {
        concerns.push(format!(
            "{} names that a `*` means are matched by name only: more than {EXPANDED_MAX} are looked at",
            graph.expansions_left_out()
        ));
    }
    if graph.mounts_left_out() > 0 {
        concerns.push(format!(
            "{} mounts below `/**` rules are not labelled: more than {MOUNT_NODES_MAX} directories lead to them",
            graph.mounts_left_out()
        ));
    }
    let more = concerns.len().saturating_sub(CONCERNS_SHOWN);
    concerns.truncate(CONCERNS_SHOWN);
    if more > 0 {
        concerns.push(format!("and {more} more"));
    }
    concerns
}

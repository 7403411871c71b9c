//! The soak: an experiment on whether operations leak (docs/soak.md).
//!
//! | module | what it does |
//! |---|---|
//! | [`resources`] | what could leak, where it is counted, which fault shows that the count moves |
//! | [`look`] | reads every resource, from outside and inside |
//! | [`exact`] | the exact tier, on the sampling process, and the positive control |
//! | [`pace`] | the time box, and what fits into it: pure arithmetic |
//! | [`live`] | the live tier: an experiment, and another to confirm what it found |
//! | [`trial`] | one experiment: its plan, its course, its end |
//! | [`session`] | one experiment, on a client in a session |
//! | [`external`] | the soak of a client that does not speak our control protocol |
//! | [`journal`] | `samples.ndjson` |
//! | [`progress`] | a bar on a terminal, else a line now and then |
//! | [`outcome`] | the verdict over both tiers, for people and for `results.json` |
//! | [`plot`] | `soak.svg` |
//!
//! The statistics are `leak-test`'s.

mod exact;
pub(crate) mod external;
mod journal;
pub(crate) mod live;
mod look;
pub(crate) mod outcome;
pub(crate) mod pace;
mod plot;
mod progress;
pub(crate) mod resources;
mod session;
pub(crate) mod trial;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::Result;
use leak_test::{Seed, Verdict};

use self::journal::Journal;
use self::outcome::Outcome;
use self::pace::TimeBox;
use self::resources::Tracked;
use self::trial::Operation;
use crate::rig::Events;
use crate::source::SourceChoice;

/// The two processes of the count test.
#[derive(Debug, Clone)]
pub(crate) struct SamplingBinaries {
    pub(crate) sampling: PathBuf,
    pub(crate) leaking: PathBuf,
}

/// What a soak is made of.
pub(crate) struct Soak<'a> {
    /// The processes of the count test.
    pub(crate) sampling: &'a SamplingBinaries,
    pub(crate) seed: Seed,
    /// Where everything seen goes; it is there already.
    pub(crate) dir: &'a Path,
    /// Without it there is no live tier.
    pub(crate) live: Option<LivePlan<'a>>,
}

/// What the live tier is made of.
pub(crate) struct LivePlan<'a> {
    pub(crate) operation: Operation,
    /// What is judged there; the exact tier judges everything exact.
    pub(crate) tracked: &'a [Tracked],
    pub(crate) client_binary: &'a Path,
    pub(crate) source_binary: &'a Path,
    pub(crate) source: &'a SourceChoice,
    pub(crate) time_box: TimeBox,
}

impl Soak<'_> {
    /// The exact tier and the control, and then, if those leave anything to find out, the live tier. Ends inside the time
    /// box.
    pub(crate) fn run(&self, events: &mut Events) -> Result<Outcome> {
        let mut journal = Journal::create(&self.dir.join("samples.ndjson"))?;
        if let Some(live) = &self.live {
            events.end_at(live.time_box.work_ends());
        }
        let exact = exact::run(
            &mut exact::Bench {
                binaries: self.sampling,
                dir: self.dir,
                journal: &mut journal,
                events,
            },
            self.seed,
        )?;
        events.doing(&format!("exact tier: {}", exact.sentence));
        let Some(plan) = self.live.as_ref().filter(|_| exact.verdict == Verdict::Clean) else {
            return Ok(Outcome::of_exact(exact));
        };
        let live = live::run(
            &mut trial::Bench {
                plan,
                dir: self.dir,
                journal: &mut journal,
                events,
            },
            self.seed,
        )?;
        let outcome = Outcome::of_both(exact, live);
        plot::save(&self.dir.join("soak.svg"), &outcome)?;
        Ok(outcome)
    }
}

/// A seed that nobody chose.
pub(crate) fn fresh_seed() -> Seed {
    Seed(RandomState::new().hash_one(std::process::id()))
}

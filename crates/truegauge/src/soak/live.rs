//! The live tier: randomised pairs of blocks on the client in a session.
//!
//! The first experiment may be looked at as often as one likes, because a leak is a leak only once a second one, of a
//! fresh client and another seed, with its number of pairs fixed before, says so too. That there is no leak is decided
//! once, at the end.

use std::time::Instant;

use anyhow::{Context, Result};
use leak_test::Seed;

use super::session::Session;
use super::trial::{Bench, Ended, Trial, Until};
use crate::error::RunError;
use crate::rig::{Rig, SessionConfig};

/// What the tier came to. Without a first experiment it ended before there was anything to judge.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) first: Option<Trial>,
    pub(crate) second: Option<Trial>,
    /// Somebody ended it before its time.
    pub(crate) interrupted: bool,
    /// Why it proves no cleanness, whatever the figures say.
    pub(crate) caveats: Vec<String>,
}

/// Runs the experiment, and a second one where the first asks for it.
pub(super) fn run(bench: &mut Bench<'_>, seed: Seed) -> Result<Live> {
    let mut live = Live::default();
    let (first, ended) = bench.experiment("1", seed, Until::Suspicion, &mut live.caveats)?;
    live.first = first;
    live.note(&ended);
    if let Ended::Suspicion {
        confirming_pairs: pairs,
        pace,
    } = ended
    {
        bench.events.doing(&format!(
            "the first experiment found something: a second one, of {pairs} pairs, has to say so too"
        ));
        let until = Until::Confirmation { pairs, pace };
        let (second, ended) = bench.experiment("2", seed.fork(SECOND), until, &mut live.caveats)?;
        live.second = second;
        live.note(&ended);
    }
    Ok(live)
}

const SECOND: u64 = u64::from_be_bytes(*b"second 2");

impl Live {
    fn note(&mut self, ended: &Ended) {
        match ended {
            Ended::Interrupted => self.interrupted = true,
            Ended::Unanswered(what) => self.caveats.push(what.clone()),
            Ended::Suspicion { .. } | Ended::AsPlanned => {}
        }
    }
}

impl Bench<'_> {
    /// One experiment on a client of its own. The client's faults are errors; the end of the time, or an interrupt, ends it
    /// with what there is.
    fn experiment(
        &mut self,
        name: &str,
        seed: Seed,
        until: Until,
        caveats: &mut Vec<String>,
    ) -> Result<(Option<Trial>, Ended)> {
        let begun = Instant::now();
        let dir = self.dir.join(format!("experiment-{name}"));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let parts = SessionConfig {
            client_binary: self.plan.client_binary,
            source_binary: self.plan.source_binary,
            source: self.plan.source,
            dir: &dir,
        };
        let mut rig = match Rig::start(&parts, self.events) {
            Ok(rig) => rig,
            Err(error) => return early(error, None).map(|ended| (None, ended)),
        };
        // It sees more than is asked here.
        rig.observer.stop();
        let mut session = Session::new(self, name, begun, dir.join("reports"), caveats);
        let outcome = session.run(&mut rig.client, seed, until);
        let pending_request = session.pending_request();
        // At once, whatever state it is in: how a client ends is for `verify` to judge.
        rig.kill();
        match outcome {
            Ok((course, ended)) => Ok((Some(course.judged()), ended)),
            Err(error) => early(error, pending_request).map(|ended| (None, ended)),
        }
    }
}

/// What ends a run before its first block without anybody's fault is no error.
fn early(error: anyhow::Error, pending_request: Option<String>) -> Result<Ended> {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Interrupted) => Ok(Ended::Interrupted),
        Some(RunError::TimeUp) => {
            Ok(Ended::Unanswered(pending_request.unwrap_or_else(|| {
                "the time was up before the first block".to_owned()
            })))
        }
        _ => Err(error),
    }
}

use std::path::PathBuf;
use std::time::Duration;

use anstream::println;
use anyhow::{Context, Result};
use jiff::Timestamp;
use leak_test::{Seed, Verdict};

use crate::cmd::verify;
use crate::environment::Environment;
use crate::exit::{Exit, Stop};
use crate::plan::{self, SourceChoice};
use crate::present::files::{self, RunDir};
use crate::present::{self, steps};
use crate::profile::{Profile, parse_profile};
use crate::results::{self, Results};
use crate::rig::{self, Events, Parts};
use crate::soak::live::Operation;
use crate::soak::outcome::Outcome;
use crate::soak::pace::TimeBox;
use crate::soak::{self, LivePlan, Soak, outside, resources};
use crate::workspace;

/// Find out by experiment whether sampling leaks: descriptors, threads, mappings, port rights, memory.
///
/// First the exact tier, in seconds: a quiet process samples, and must hold afterwards exactly what it held before; and the
/// positive control, whose leak must be found. Then the live tier: in a client's session a coin decides which of two
/// blocks of time performs operations and which idles, until the time is up or a leak is certain. docs/soak.md explains
/// what that proves.
///
/// The last line begins with the verdict: CLEAN (exit code 0), LEAK or OVER-RELEASE (1), FAIL where the client died (1),
/// INCONCLUSIVE (3). Everything seen goes to samples.ndjson as it happens, the verdict to results.json and
/// report.html, a picture to soak.svg. Ctrl-C ends the run with the verdict so far.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the run may take, build excepted, in hours.
    #[arg(long, value_name = "H", value_parser = hours, conflicts_with = "duration")]
    hours: Option<Duration>,
    /// The same as a time: 90s, 10m. Memory is judged in runs of 12 minutes or more; reports, which are slow, take about
    /// 10 [default: 5m].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// What is performed, and must not leak.
    #[arg(long, value_enum, default_value_t = Operation::Sample)]
    operation: Operation,
    /// What the live tier reads and judges, by name, separated by commas [default: everything].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    resources: Vec<String>,
    /// Throws the coins: the seed of another run [default: a fresh one].
    #[arg(long, value_name = "HEX")]
    seed: Option<Seed>,
    /// What the client's session is held with: `synthetic`, or HOST:PORT of a SPICE server without password.
    #[arg(long, value_name = "SOURCE", default_value = "synthetic")]
    source: SourceChoice,
    /// Soak this client instead of building ours; it must speak our control protocol (docs/architecture.md).
    #[arg(long, value_name = "PATH")]
    client_bin: Option<PathBuf>,
    /// Soak a client of this profile (docs/other-clients.md). One that does not speak our control protocol is soaked with its
    /// own reports, and judged by what is seen from outside.
    #[arg(long, value_name = "NAME|FILE", default_value = "headless-client", value_parser = parse_profile)]
    profile: Profile,
    /// Where the run's directory goes [default: target/soak].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep every earlier run; without it the newest ten in target/soak remain.
    #[arg(long)]
    keep: bool,
}

/// Shorter runs could not complete the pairs that a verdict needs.
const SHORTEST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
const DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Runs that stay in target/soak.
const RUNS_KEPT: usize = 10;

fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(hours * 3600.0).map_err(|error| error.to_string())?;
    within_reason(duration)
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    within_reason(plan::duration(text)?)
}

fn within_reason(duration: Duration) -> Result<Duration, String> {
    if (SHORTEST..=LONGEST).contains(&duration) {
        Ok(duration)
    } else {
        Err("must lie between 15 seconds and a week".to_owned())
    }
}

/// What a run writes its results from.
struct Run<'a> {
    args: &'a Args,
    seed: Seed,
    dir: RunDir,
    started_at: Timestamp,
    time_box: TimeBox,
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let tracked = resources::select(&args.resources).map_err(Stop::Environment)?;
    rig::raise_descriptor_limit();
    let mut events = Events::new()?;
    let started_at = Timestamp::now();
    let parent = args
        .out
        .clone()
        .unwrap_or_else(|| workspace::target_dir().join("soak"));
    let dir = RunDir::create(&parent, started_at)?;
    if args.out.is_none() && !args.keep {
        files::prune_runs(&parent, RUNS_KEPT)?;
    }
    if !args.profile.client.control_socket {
        return run_outside(args, dir, started_at, &mut events);
    }
    let packages: &[&str] = match args.client_bin {
        None => &["headless-client", "spice-source"],
        Some(_) => &["spice-source"],
    };
    let quiet = rig::build_quiet(&mut events)?;
    let built = rig::build(packages, &mut events)?;
    let ours = built.join("headless-client");

    let run = Run {
        args,
        seed: args.seed.unwrap_or_else(soak::fresh_seed),
        dir,
        started_at,
        time_box: TimeBox::begin(args.hours.or(args.duration).unwrap_or(DEFAULT)),
    };
    steps::say(&format!("soak: {:.0?}, seed {}", run.time_box.total(), run.seed));
    let soak = Soak {
        quiet: &quiet,
        seed: run.seed,
        dir: &run.dir.path,
        live: Some(LivePlan {
            operation: args.operation,
            tracked: &tracked,
            client_binary: args.client_bin.as_ref().unwrap_or(&ours),
            source_binary: &built.join("spice-source"),
            source: &args.source,
            time_box: run.time_box,
        }),
    };
    match soak.run(&mut events) {
        Ok(outcome) => run.conclude(&outcome),
        Err(error) => run.give_up(error),
    }
}

/// The soak of a client that nobody can ask for samples.
fn run_outside(args: &Args, dir: RunDir, started_at: Timestamp, events: &mut Events) -> Result<Exit> {
    let trigger = args.profile.trigger(None)?;
    let built = rig::build(&["spice-source"], events)?;
    let client = match &args.client_bin {
        Some(client) => client.clone(),
        None => args.profile.find_binary()?,
    };
    let experiment = dir.path.join("experiment-1");
    std::fs::create_dir_all(&experiment)
        .with_context(|| format!("cannot create {}", experiment.display()))?;
    let run = Run {
        args,
        seed: args.seed.unwrap_or_else(soak::fresh_seed),
        dir,
        started_at,
        time_box: TimeBox::begin(args.hours.or(args.duration).unwrap_or(DEFAULT)),
    };
    events.end_at(run.time_box.work_ends());
    let outside = outside::run(
        &outside::Plan {
            parts: Parts {
                client_binary: &client,
                source_binary: &built.join("spice-source"),
                source: &args.source,
                dir: &experiment,
            },
            profile: &args.profile,
            trigger,
            seed: run.seed,
            time_box: run.time_box,
        },
        events,
    );
    let outside = match outside {
        Ok(outside) => outside,
        Err(error) => return run.give_up(error),
    };
    files::write_json(&run.dir.path.join("outside.json"), &outside.analysis)?;
    let (exit, sentence) = (Exit::Inconclusive, outside.sentence());
    run.publish(Results {
        profile: Some(args.profile.name.clone()),
        ..Results::new(run.run(), Environment::read(), exit.into(), sentence.clone())
    })?;
    outside.lines().iter().for_each(|line| println!("{line}"));
    let dir = workspace::shown(&run.dir.path);
    println!(
        "everything seen: {dir}\nsee it again:    {}\n{sentence}",
        run.command()
    );
    Ok(exit)
}

impl Run<'_> {
    /// Presents the verdict.
    fn conclude(&self, outcome: &Outcome) -> Result<Exit> {
        self.publish(Results {
            checks: outcome.rows()?,
            soak: Some(outcome.to_results()),
            ..Results::new(
                self.run(),
                Environment::read(),
                outcome.exit().into(),
                outcome.sentence.clone(),
            )
        })?;
        outcome.print();
        let dir = workspace::shown(&self.dir.path);
        println!("everything seen: {dir}\nsee it again:    {}", self.command());
        println!("{}", outcome.sentence);
        Ok(outcome.exit())
    }

    /// A client that is at fault has failed; anything else is passed on.
    fn give_up(&self, error: anyhow::Error) -> Result<Exit> {
        let sentence = match error.downcast_ref::<Stop>() {
            Some(Stop::Client(why)) => format!("FAIL: {why}"),
            Some(stop @ (Stop::Interrupted | Stop::TimeUp)) => format!("{}: {stop}", Verdict::Inconclusive),
            _ => format!("ERROR: {error:#}"),
        };
        let exit = Exit::of(&error);
        self.publish(Results::new(
            self.run(),
            Environment::read(),
            exit.into(),
            sentence.clone(),
        ))?;
        for log in self.logs() {
            steps::log_tail(&log);
        }
        steps::say(&format!("everything seen: {}", workspace::shown(&self.dir.path)));
        if exit == Exit::Environment {
            return Err(error);
        }
        println!("see it again: {}\n{sentence}", self.command());
        Ok(exit)
    }

    /// The newest experiment's, or those of the exact tier.
    fn logs(&self) -> Vec<PathBuf> {
        let experiments = ["experiment-2", "experiment-1"].map(|name| self.dir.path.join(name));
        match experiments.into_iter().find(|dir| dir.exists()) {
            Some(dir) => vec![dir.join("client.log"), dir.join("source.log")],
            None => vec![self.dir.path.join("quiet.log")],
        }
    }

    fn run(&self) -> results::Run {
        results::Run {
            seed: Some(self.seed.to_string()),
            box_secs: Some(self.time_box.total().as_secs_f64()),
            elapsed_secs: self.time_box.elapsed().as_secs_f64(),
            ..results::Run::ended(&self.dir.id, self.command(), self.started_at)
        }
    }

    fn publish(&self, mut results: Results) -> Result<()> {
        present::publish(&mut results, &self.dir.path)
    }

    /// The command line that shows this run again, coins included.
    fn command(&self) -> String {
        let command = verify::command();
        if self.args.seed.is_some() {
            command
        } else {
            format!("{command} --seed {}", self.seed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked() {
        assert_eq!(hours("0.03"), Ok(Duration::from_secs(108)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for text in ["0", "-1", "NaN", "inf", "x", "200"] {
            assert!(hours(text).is_err(), "{text}");
        }
        for text in ["14s", "8d", "", "x"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

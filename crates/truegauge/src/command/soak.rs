use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use leak_test::{Seed, Verdict};

use crate::command::{BinaryArgs, Requirements};
use crate::environment::Environment;
use crate::error::{Exit, RunError};
use crate::invocation::{Invocation, RUNS_KEPT};
use crate::observe;
use crate::output::console::shown_path;
use crate::output::files::{self, RunDir};
use crate::output::format::escaped;
use crate::output::{self, Outputs};
use crate::profile::{Profile, parse_profile};
use crate::reporter::RunEvent;
use crate::results::{self, Results};
use crate::rig::{self, Events, SessionConfig};
use crate::soak::outcome::Outcome;
use crate::soak::pace::{self, TimeBox};
use crate::soak::trial::Operation;
use crate::soak::{self, LivePlan, Soak, external, resources};
use crate::source::SourceChoice;

/// Find out by experiment whether sampling leaks: descriptors, threads, mappings, port rights, memory.
///
/// First the exact tier, in seconds: the sampling process samples, and must hold afterwards exactly what it held before; and the
/// positive control, whose leak must be found. Then the live tier: in a client's session a coin decides which of two
/// blocks of time performs operations and which idles, until the time is up or a leak is certain. The page
/// "The soak" explains what that proves.
///
/// The last line begins with the verdict: CLEAN (exit code 0), LEAK or OVER-RELEASE (1), FAIL where the client died (1),
/// INCONCLUSIVE (3). Everything seen goes to samples.ndjson as it happens, the verdict to results.json and
/// report.html, a picture to soak.svg. Ctrl-C ends the run with the verdict so far.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the run may take, build excepted, in hours.
    #[arg(long, value_name = "H", value_parser = pace::hours, conflicts_with = "duration")]
    hours: Option<Duration>,
    /// The same as a time: 90s, 10m. Memory is judged in runs of 12 minutes or more; reports, which are slow, take about
    /// 10 [default: 5m].
    #[arg(long, value_name = "TIME", value_parser = pace::time_limit)]
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
    #[command(flatten)]
    binaries: BinaryArgs,
    /// Soak a client of this profile (page "Verify your own client"). One that does not speak our control protocol is soaked with
    /// its own reports, and judged by what is seen from outside.
    #[arg(long, value_name = "NAME|FILE", default_value = "headless-client", value_parser = parse_profile)]
    profile: Profile,
    /// Where the run's directory goes [default: ./truegauge-runs; of `cargo xtask`, target/soak].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep every earlier run; without it the newest ten in the default directory remain.
    #[arg(long)]
    keep_all: bool,
}

/// The time limit of a soak that names none.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5 * 60);

/// What a run writes its results from.
struct Run<'a> {
    args: &'a Args,
    invocation: &'a Invocation,
    seed: Seed,
    dir: RunDir,
    started_at: Timestamp,
    time_box: TimeBox,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements {
        self.binaries.requirements(&self.profile)
    }
}

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    let tracked = resources::select(&args.resources).map_err(RunError::Environment)?;
    observe::check()?;
    let client = args.binaries.client(&args.profile)?;
    let sampling = args.binaries.sampling(&args.profile)?;
    rig::prepare_limits()?;
    let mut events = Events::new(Arc::clone(&invocation.reporter))?;
    let started_at = Timestamp::now();
    let parent = args.out.clone().unwrap_or_else(|| invocation.runs_dir.clone());
    let dir = RunDir::create(&parent, started_at)?;
    rig::check_run_dir(&dir.path)?;
    if args.out.is_none() && !args.keep_all {
        files::prune_runs(&parent, RUNS_KEPT, &*invocation.reporter);
    }
    let run = Run {
        args,
        invocation,
        seed: args.seed.unwrap_or_else(soak::fresh_seed),
        dir,
        started_at,
        time_box: TimeBox::begin(args.hours.or(args.duration).unwrap_or(DEFAULT_TIME_LIMIT)),
    };
    let Some(sampling) = sampling else {
        return run.run_external(&client, &mut events);
    };
    events.doing(&format!("soak: {:.0?}, seed {}", run.time_box.total(), run.seed));
    let soak = Soak {
        sampling: &sampling,
        seed: run.seed,
        dir: &run.dir.path,
        live: Some(LivePlan {
            operation: args.operation,
            tracked: &tracked,
            client_binary: &client,
            source_binary: &invocation.own_binary,
            source: &args.source,
            time_box: run.time_box,
        }),
    };
    match soak.run(&mut events) {
        Ok(outcome) => run.conclude(&outcome),
        Err(error) => run.give_up(error),
    }
}

impl Run<'_> {
    /// The soak of a client that does not speak our control protocol.
    fn run_external(&self, client: &Path, events: &mut Events) -> Result<Exit> {
        let args = self.args;
        let experiment = self.dir.path.join("experiment-1");
        std::fs::create_dir_all(&experiment)
            .with_context(|| format!("cannot create {}", experiment.display()))?;
        events.end_at(self.time_box.work_ends());
        let plan = external::Plan {
            session: SessionConfig {
                client_binary: client,
                source_binary: &self.invocation.own_binary,
                source: &args.source,
                dir: &experiment,
            },
            profile: &args.profile,
            trigger: args.profile.trigger(None)?,
            seed: self.seed,
            time_box: self.time_box,
        };
        let outside = match external::run(&plan, events) {
            Ok(outside) => outside,
            Err(error) => return self.give_up(error),
        };
        let analysis = files::write_json(&self.dir.path.join("outside.json"), &outside.analysis);
        let (exit, sentence) = (Exit::Inconclusive, outside.sentence());
        let mut outputs = self.publish(Results {
            profile: Some(args.profile.name.clone()),
            ..self.results(exit, sentence.clone())
        });
        outputs.attempt(analysis);
        for line in outside.lines() {
            self.invocation.result(&line);
        }
        Ok(self.conclude_with(outputs, exit, &sentence))
    }

    fn results(&self, exit: Exit, sentence: String) -> Results {
        let environment = Environment::read(self.invocation.checkout.as_deref());
        Results::new(self.run(), environment, exit.into(), sentence)
    }

    /// The last lines; the very last is the verdict's sentence.
    fn conclude_with(&self, outputs: Outputs<'_>, exit: Exit, sentence: &str) -> Exit {
        let (exit, sentence) = outputs.conclude(exit, sentence);
        let dir = shown_path(&self.dir.path);
        let command = self.command();
        self.invocation.result(&format!(
            "everything seen: {dir}\nsee it again:    {command}\n{sentence}"
        ));
        exit
    }

    /// Presents the verdict.
    fn conclude(&self, outcome: &Outcome) -> Result<Exit> {
        let outputs = self.publish(Results {
            checks: outcome.rows()?,
            soak: Some(outcome.to_results()),
            ..self.results(outcome.exit(), outcome.sentence.clone())
        });
        self.invocation.result(&outcome.render());
        Ok(self.conclude_with(outputs, outcome.exit(), &outcome.sentence))
    }

    /// A client that is at fault has failed; anything else is passed on.
    fn give_up(&self, error: anyhow::Error) -> Result<Exit> {
        let error = rig::blame(error, &self.dir.path);
        let sentence = match error.downcast_ref::<RunError>() {
            Some(RunError::Client(why)) => format!("FAIL: {}", escaped(why)),
            Some(stop @ (RunError::Interrupted | RunError::TimeUp)) => {
                format!("{}: {stop}", Verdict::Inconclusive)
            }
            _ => format!("ERROR: {error:#}"),
        };
        let exit = Exit::of(&error);
        let outputs = self.publish(self.results(exit, sentence.clone()));
        for log in self.logs() {
            self.invocation.emit(&RunEvent::LogToShow(&log));
        }
        let dir = shown_path(&self.dir.path);
        self.invocation.doing(&format!("everything seen: {dir}"));
        if exit == Exit::Environment {
            return Err(error);
        }
        let (exit, sentence) = outputs.conclude(exit, &sentence);
        self.invocation
            .result(&format!("see it again: {}\n{sentence}", self.command()));
        Ok(exit)
    }

    /// The newest experiment's, or those of the exact tier.
    fn logs(&self) -> Vec<PathBuf> {
        let experiments = ["experiment-2", "experiment-1"].map(|name| self.dir.path.join(name));
        match experiments.into_iter().find(|dir| dir.exists()) {
            Some(dir) => vec![dir.join("client.log"), dir.join("source.log")],
            None => vec![self.dir.path.join("sampling-process.log")],
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

    fn publish(&self, mut results: Results) -> Outputs<'_> {
        output::publish(&mut results, &self.dir.path, &*self.invocation.reporter)
    }

    /// The command line that shows this run again, coins included.
    fn command(&self) -> String {
        let command = &self.invocation.command;
        if self.args.seed.is_some() {
            command.clone()
        } else {
            format!("{command} --seed {}", self.seed)
        }
    }
}

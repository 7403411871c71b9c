use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use checks::{Outcome, Row, Tally};

use crate::checks::{self, Checks};
use crate::cmd::soak::duration as soak_duration;
use crate::core_dump;
use crate::environment::Environment;
use crate::evidence::{Evidence, Head, Report};
use crate::exit::{Exit, Stop};
use crate::observe::{CLOCK_INTERVAL, Window, monotonic_ns};
use crate::plan::{self, Password, SourceChoice, ThresholdArgs, Thresholds};
use crate::present::files::{self, RunDir};
use crate::present::{self, steps, table};
use crate::profile::{Profile, Trigger, WindowFrom, parse_profile};
use crate::results::{self, Results};
use crate::rig::{self, Events, Load, Parts, Rig};
use crate::soak::live::Operation;
use crate::soak::outcome::Outcome as SoakOutcome;
use crate::soak::pace::TimeBox;
use crate::soak::{self, LivePlan, Soak, resources};
use crate::workspace;

/// Build the client, hold a session, file three bug reports and judge tests 1–6 on this machine.
///
/// The client files one report while its session idles, one while it is busy and one later; an observer outside the
/// process watches it over the very windows that the reports claim. Everything that was seen goes to evidence.json,
/// the verdict to results.json, report.html, junit.xml and summary.md, beside the zips and the logs. At the end a quiet process samples and must hold exactly what
/// it held before: the soak's exact tier, with its positive control.
///
/// Judge one test again by hand:  jq -f xtask/assertions/3-cpu.jq target/verify/RUN/evidence.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Verify a client of this profile: `headless-client`, `ryll`, or a file of your own (docs/other-clients.md).
    #[arg(long, value_name = "NAME|FILE", default_value = "headless-client", value_parser = parse_profile)]
    profile: Profile,
    /// Verify this program instead of the one that the profile names or builds.
    #[arg(long, value_name = "PATH")]
    client_bin: Option<PathBuf>,
    /// Which of the profile's triggers brings the reports [default: the profile's own].
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// What the client's session is held with: `synthetic`, `qemu`, or HOST:PORT of a SPICE server.
    #[arg(long, value_name = "SOURCE", default_value = "synthetic")]
    source: SourceChoice,
    /// A file with the password of the server at HOST:PORT, and nothing else.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The sample window of each report.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = window)]
    window: Duration,
    /// The later report is triggered so long after the first.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = plan::duration)]
    later: Duration,
    /// Soak the client as well, for so long (`cargo xtask soak --help`).
    #[arg(long, value_name = "TIME", value_parser = soak_duration)]
    soak: Option<Duration>,
    /// Where the run's directory goes [default: target/verify].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep every earlier run; without it the newest ten in target/verify remain.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

fn window(text: &str) -> Result<Duration, String> {
    let window = plan::duration(text)?;
    let allowed = Duration::from_millis(200)..=Duration::from_secs(60);
    if allowed.contains(&window) {
        Ok(window)
    } else {
        Err("must lie between 200ms and 60s".to_owned())
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    verify(args, &Variation::default()).map(|judged| judged.exit())
}

/// What a platform's own command does beyond [`verify`].
#[derive(Default)]
pub(crate) struct Variation {
    /// Makes the client that runs out of the one that was built, in the run's directory.
    pub(crate) prepare: Option<fn(&Path, &Path) -> Result<PathBuf>>,
    /// Asks further observers about the living client; what they say is kept, not judged.
    pub(crate) witness: Option<fn(u32) -> Value>,
}

/// A run that came to its verdict.
pub(crate) struct Judged {
    pub(crate) evidence: Evidence,
    pub(crate) rows: Vec<Row>,
    /// What the soak says.
    pub(crate) soak: Option<results::Soak>,
    pub(crate) dir: RunDir,
}

impl Judged {
    pub(crate) fn tally(&self) -> Tally {
        self.rows.iter().collect()
    }

    pub(crate) fn exit(&self) -> Exit {
        match self.tally().outcome() {
            Outcome::Pass => Exit::Pass,
            Outcome::Fail => Exit::Fail,
            Outcome::Inconclusive => Exit::Inconclusive,
        }
    }
}

/// Builds, collects, judges, and presents.
pub(crate) fn verify(args: &Args, variation: &Variation) -> Result<Judged> {
    let checks = Checks::load(&checks::dir())?;
    let source = args.source()?;
    let trigger = args.profile.trigger(args.trigger.as_deref())?;
    trigger.can_bring(LABELS.len() as u32)?;
    args.refuse_soak_without_control()?;
    rig::raise_descriptor_limit();
    let mut events = Events::new()?;
    let parent = args
        .out
        .clone()
        .unwrap_or_else(|| workspace::target_dir().join("verify"));
    let started_at = Timestamp::now();
    let dir = RunDir::create(&parent, started_at)?;
    if args.out.is_none() && !args.keep {
        files::prune_runs(&parent, RUNS_KEPT)?;
    }

    let group = present::group("build");
    // The exact tier is about our own sampler.
    let quiet = if args.profile.client.control_socket {
        Some(rig::build_quiet(&mut events)?)
    } else {
        None
    };
    let package = args
        .profile
        .client
        .package
        .as_deref()
        .filter(|_| args.client_bin.is_none());
    let packages: Vec<&str> = package.into_iter().chain(["spice-source"]).collect();
    let built = rig::build(&packages, &mut events)?;
    let client = match (&args.client_bin, package) {
        (Some(client), _) => client.clone(),
        (None, Some(package)) => built.join(package),
        (None, None) => args.profile.find_binary()?,
    };
    let client = variation
        .prepare
        .map_or(Ok(client.clone()), |prepare| prepare(&client, &dir.path))?;
    let parts = Parts {
        client_binary: &client,
        source_binary: &built.join("spice-source"),
        source: &source,
        dir: &dir.path,
    };
    drop(group);
    let group = present::group("session: three reports");
    let evidence = collect(args, trigger, &parts, &dir, variation, &mut events).inspect_err(|error| {
        for log in [parts.client_log(), parts.source_log()] {
            steps::log_tail(&log);
        }
        let shown = workspace::shown(&dir.path);
        steps::say(&format!(
            "everything seen is in {shown}; see it again with: {}",
            command()
        ));
        give_up(error, &dir, started_at);
    })?;

    let mut rows = checks.judge(evidence.as_value())?;
    events.forget_the_ended();
    drop(group);
    let soak = match &quiet {
        Some(quiet) => {
            let group = present::group("soak");
            let soaked = run_soak(args, &parts, quiet, &mut events)
                .inspect_err(|error| give_up(error, &dir, started_at))?;
            drop(group);
            if args.soak.is_some() {
                soaked.print();
            }
            rows.extend(soaked.rows()?);
            Some(soaked.to_results())
        }
        None => None,
    };
    for relaxation in args.profile.relax(&mut rows, std::env::consts::OS) {
        steps::say(&format!(
            "the profile relaxes {}, which nothing needed: {}",
            relaxation.check, relaxation.reason
        ));
    }
    let judged = Judged {
        evidence,
        rows,
        soak,
        dir,
    };
    present::publish(&mut results(&judged, started_at), &judged.dir.path)?;
    table::print(&judged.rows, &LABELS);
    println!("{}", conclusion(&judged));
    Ok(judged)
}

/// The exact tier and its control, in seconds; the live tier as well where that was asked for.
fn run_soak(args: &Args, parts: &Parts<'_>, quiet: &Path, events: &mut Events) -> Result<SoakOutcome> {
    let tracked = resources::select(&[]).map_err(Stop::Environment)?;
    let dir = parts.dir.join("soak");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let soak = Soak {
        quiet,
        seed: soak::fresh_seed(),
        dir: &dir,
        live: args.soak.map(|total| LivePlan {
            operation: Operation::Sample,
            tracked: &tracked,
            client_binary: parts.client_binary,
            source_binary: parts.source_binary,
            source: parts.source,
            time_box: TimeBox::begin(total),
        }),
    };
    soak.run(events)
}

impl Args {
    /// The source, with its password.
    fn source(&self) -> Result<SourceChoice> {
        match (&self.source, &self.password_file) {
            (source, None) => Ok(source.clone()),
            (SourceChoice::Address { address, .. }, Some(file)) => {
                core_dump::forbid()?;
                Ok(SourceChoice::Address {
                    address: address.clone(),
                    password: Some(Password::read(file)?),
                })
            }
            (_, Some(_)) => bail!("--password-file goes with --source HOST:PORT alone"),
        }
    }

    fn refuse_soak_without_control(&self) -> Result<()> {
        ensure!(
            self.soak.is_none() || self.profile.client.control_socket,
            "--soak asks for samples over our control protocol, which a client of the profile {} does not speak",
            self.profile.name
        );
        Ok(())
    }
}

/// Runs that stay in target/verify.
const RUNS_KEPT: usize = 10;

/// The three reports of a run.
const LABELS: [&str; 3] = ["idle", "busy", "later"];

/// The command line that shows this run again.
pub(crate) fn command() -> String {
    let words = std::env::args_os().skip(1).map(|word| steps::quoted(&word));
    std::iter::once("cargo xtask".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Idle, busy, later: three reports from one session, each with what was observed.
fn collect(
    args: &Args,
    trigger: &Trigger,
    parts: &Parts<'_>,
    dir: &RunDir,
    variation: &Variation,
    events: &mut Events,
) -> Result<Evidence> {
    let thresholds = args.thresholds.resolve_for(parts.source);
    let mut rig = Rig::start_client(parts, args.profile.clone(), trigger.clone(), events)?;
    let mut evidence = Evidence::new(&Head {
        run_id: &dir.id,
        command: &command(),
        started_at: &Timestamp::now().to_string(),
        environment: &Environment::read(),
        thresholds: &thresholds,
        client: json!({
            "pid": rig.pid,
            "profile": args.profile.name,
            "binary": workspace::shown(parts.client_binary),
            "target": rig.target,
            "started_monotonic_ns": rig.observer.started_ns(),
        }),
        source: rig.describe_source(),
    });
    let path = dir.path.join("evidence.json");

    steps::say("report 1 of 3: idle");
    let first_trigger = monotonic_ns();
    evidence.push_report(LABELS[0], args, &mut rig, dir, events)?;
    evidence.write(&path)?;

    steps::say("report 2 of 3: busy");
    raise_load(&mut rig, &thresholds, events)?;
    evidence.push_report(LABELS[1], args, &mut rig, dir, events)?;
    rig.set_rate(0, events)?;
    evidence.write(&path)?;

    steps::say("report 3 of 3: later");
    let since_first = Duration::from_nanos(monotonic_ns() - first_trigger);
    events.pass(args.later.saturating_sub(since_first))?;
    evidence.push_report(LABELS[2], args, &mut rig, dir, events)?;
    if let Some(witness) = variation.witness {
        evidence.add_witnesses(witness(rig.pid));
    }
    evidence.write(&path)?;

    rig.quit(events)?;
    Ok(evidence)
}

impl Evidence {
    fn push_report(
        &mut self,
        label: &'static str,
        args: &Args,
        rig: &mut Rig,
        dir: &RunDir,
        events: &mut Events,
    ) -> Result<()> {
        let filed = rig.file_report(args.window, events)?;
        let appeared_ns = filed.appeared_ns;
        let report = Report::read(label, filed, &dir.path)
            .map_err(|error| Stop::Client(format!("the {label} report: {error:#}")))?;
        // The window that the report claims ends before its zip appears.
        await_observer(rig, appeared_ns, events)?;
        let reports = &args.profile.reports;
        let observed = match reports.window {
            WindowFrom::Claimed => report
                .claimed_window()
                .and_then(|window| rig.observer.over(window)),
            WindowFrom::Outside => report
                .window_from_outside(reports)
                .and_then(|between| rig.observer.between(between)),
        };
        self.push(report, observed, rig.observer.cpu_source());
        Ok(())
    }
}

/// Waits until the observer has read everything once more after a moment: windows are cut out between readings.
fn await_observer(rig: &Rig, moment_ns: u64, events: &mut Events) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    let deadline = Instant::now() + LIMIT;
    while !rig.observer.has_passed(moment_ns) {
        events.pass(CLOCK_INTERVAL)?;
        if Instant::now() > deadline {
            return Err(Stop::Environment(format!("the observer has read nothing for {LIMIT:?}")).into());
        }
    }
    Ok(())
}

/// Raises the source's draw rate until the observer sees the client busy: a rate that loads one machine is nothing to
/// another.
fn raise_load(rig: &mut Rig, thresholds: &Thresholds, events: &mut Events) -> Result<()> {
    const WATCHED: Duration = Duration::from_millis(400);
    const HIGHEST: u32 = 100_000;
    // A load that is only on or off is looked at so often: a guest may still have to boot.
    const LOOKS: u32 = 50;
    let mut rate = 200;
    for look in 1.. {
        let load = rig.set_rate(rate, events)?;
        if load == Load::Theirs {
            steps::say("  the source is not ours to load: its own traffic must do");
            return Ok(());
        }
        let start_ns = monotonic_ns();
        events.pass(WATCHED)?;
        let end_ns = monotonic_ns();
        await_observer(rig, end_ns, events)?;
        let seen = rig.observer.over(Window { start_ns, end_ns });
        let seen = seen.map_err(|reason| Stop::Environment(format!("the observer saw nothing: {reason}")))?;
        let asked = match load {
            Load::Rate => format!("{rate} draws a second"),
            Load::Switched | Load::Theirs => "the load is on".to_owned(),
        };
        steps::say(&format!(
            "  {asked}: the observer sees {:.1} % of a core",
            seen.cpu_percent
        ));
        // A quarter more than asked, so that the load does not fall below it inside the window.
        if seen.cpu_percent >= thresholds.busy_percent * 1.25 {
            return Ok(());
        }
        let spent = match load {
            Load::Rate => rate == HIGHEST,
            Load::Switched | Load::Theirs => look == LOOKS,
        };
        if spent {
            return Err(Stop::Environment(format!(
                "{asked}, which does not load the client to {} % of a core; try a lower --busy",
                thresholds.busy_percent
            ))
            .into());
        }
        rate = (rate * 2).min(HIGHEST);
    }
    unreachable!("every look ends the loop or is followed by another")
}

fn results(judged: &Judged, started_at: Timestamp) -> Results {
    let run = results::Run::ended(&judged.dir.id, command(), started_at);
    Results {
        checks: judged.rows.clone(),
        soak: judged.soak.clone(),
        ..Results::new(run, Environment::read(), judged.exit().into(), sentence(judged))
    }
    .with_evidence(judged.evidence.as_value())
}

/// A run that ends before its verdict leaves its results as well.
fn give_up(error: &anyhow::Error, dir: &RunDir, started_at: Timestamp) {
    let run = results::Run::ended(&dir.id, command(), started_at);
    if let Err(second) = present::publish(&mut Results::of_error(run, error), &dir.path) {
        present::error(&second);
    }
}

/// The last lines; the very last is the verdict's sentence.
fn conclusion(judged: &Judged) -> String {
    let dir = workspace::shown(&judged.dir.path);
    let files = format!(
        "evidence:     {dir}/evidence.json\npage:         {dir}/report.html\nsee it again: {}",
        command()
    );
    format!("{files}\n{}", sentence(judged))
}

/// Begins with the verdict's word.
fn sentence(judged: &Judged) -> String {
    let tally = judged.tally();
    let Tally {
        passed,
        failed,
        skipped,
        relaxed,
    } = tally;
    let word = tally.outcome().to_string().to_uppercase();
    let relaxed = match relaxed {
        0 => String::new(),
        rows => format!(", {rows} relaxed by the profile"),
    };
    format!("{word}: {passed} passed, {failed} failed, {skipped} skipped{relaxed}")
}

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use checks::{Outcome, Row, Suite, Tally, unjudged_tests};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::binary_identity::BinaryIdentity;
use crate::command::load_search::raise_load;
use crate::command::{BinaryArgs, Requirements};
use crate::core_dump;
use crate::duration;
use crate::environment::Environment;
use crate::error::{Exit, RunError};
use crate::evidence::{Evidence, Head, Report};
use crate::invocation::{Invocation, RUNS_KEPT};
use crate::observe::{self, monotonic_ns};
use crate::output::console::shown_path;
use crate::output::files::{self, RunDir};
use crate::output::{self, table};
use crate::password::Password;
use crate::preflight::{self, Preflight, Probe};
use crate::profile::{Profile, Trigger, WindowFrom, parse_profile};
use crate::reporter::{RunEvent, Step};
use crate::results::{self, Results, Verdict};
use crate::rig::{self, Events, Rig, ScratchDir, SessionConfig};
use crate::soak::outcome::Outcome as SoakOutcome;
use crate::soak::pace::{self, TimeBox};
use crate::soak::trial::Operation;
use crate::soak::{self, LivePlan, SamplingBinaries, Soak, resources};
use crate::source::SourceChoice;
use crate::thresholds::ThresholdArgs;

/// Hold a session, have the client file three bug reports, and judge tests 1–6 on this machine.
///
/// The client files one report while its session idles, one while it is busy and one later; an observer outside the
/// process watches it over the very windows that the reports claim. The readings go to evidence.json, the verdict to
/// results.json, report.html, junit.xml and summary.md, beside the zips and the logs. At the end the sampling process samples
/// and must hold exactly what it held before: the soak's count test, with its positive control.
///
/// Judge one test again by hand:  jq -f crates/checks/assertions/3-cpu.jq RUN/evidence.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Verify a client of this profile: `headless-client`, `ryll`, or a file of your own (page "Verify your own client").
    #[arg(long, value_name = "NAME|FILE", default_value = "headless-client", value_parser = parse_profile)]
    profile: Profile,
    #[command(flatten)]
    binaries: BinaryArgs,
    /// Judge with the *.jq files of this directory instead of the embedded ones.
    #[arg(long, value_name = "DIR")]
    assertions: Option<PathBuf>,
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
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration::parse)]
    later_delay: Duration,
    /// Soak the client as well, for so long (`soak --help`).
    #[arg(long, value_name = "TIME", value_parser = pace::time_limit)]
    soak: Option<Duration>,
    /// The parent of the run's directory [default: ./truegauge-runs; of `cargo xtask`, target/verify].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// First try everything that this system may refuse, and show what each refusal costs (verify-macos always does).
    #[arg(long)]
    preflight: bool,
    /// Keep every earlier run; without it the newest ten in the default directory remain.
    #[arg(long)]
    keep_all: bool,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

fn window(text: &str) -> Result<Duration, String> {
    let window = duration::parse(text)?;
    let allowed = Duration::from_millis(200)..=Duration::from_secs(60);
    if allowed.contains(&window) {
        Ok(window)
    } else {
        Err("must lie between 200ms and 60s".to_owned())
    }
}

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    verify(args, &Variation::default(), invocation).map(|judged| judged.exit)
}

/// The steps that a platform's own command adds to [`verify`].
#[derive(Default)]
pub(crate) struct Variation {
    /// Tries everything that the system may refuse before the session.
    pub(crate) preflight: bool,
    /// Makes the client that runs from the one that was built, in a directory that vanishes with the run.
    pub(crate) prepare: Option<fn(&Path, &Path) -> Result<PathBuf>>,
    /// Asks the platform's tools about the live client; their output is kept, not judged.
    pub(crate) witness: Option<fn(u32) -> Value>,
}

/// A run that reached its verdict.
pub(crate) struct Judged {
    pub(crate) evidence: Evidence,
    pub(crate) rows: Vec<Row>,
    pub(crate) soak: Option<results::Soak>,
    pub(crate) preflight: Vec<Probe>,
    pub(crate) dir: RunDir,
    /// The exit code, lost outputs included.
    pub(crate) exit: Exit,
}

impl Judged {
    pub(crate) fn tally(&self) -> Tally {
        self.rows.iter().collect()
    }

    /// The exit code of the rows alone.
    pub(crate) fn verdict(&self) -> Exit {
        match self.tally().outcome() {
            Outcome::Pass if !unjudged_tests(&self.rows).is_empty() => Exit::Inconclusive,
            Outcome::Pass => Exit::Pass,
            Outcome::Fail => Exit::Fail,
            Outcome::Inconclusive => Exit::Inconclusive,
        }
    }
}

/// Collects, judges, and publishes.
pub(crate) fn verify(args: &Args, variation: &Variation, invocation: &Invocation) -> Result<Judged> {
    let checks = match &args.assertions {
        Some(dir) => Suite::from_dir(dir)?,
        None => Suite::embedded()?,
    };
    let source = args.source()?;
    let trigger = args.profile.trigger(args.trigger.as_deref())?;
    trigger.can_bring(LABELS.len() as u32)?;
    args.refuse_soak_without_control()?;
    observe::check()?;
    let client = args.binaries.client(&args.profile)?;
    let sampling = args.binaries.sampling(&args.profile)?;
    rig::prepare_limits()?;
    let mut events = Events::new(Arc::clone(&invocation.reporter))?;
    let parent = args.out.clone().unwrap_or_else(|| invocation.runs_dir.clone());
    let started_at = Timestamp::now();
    let dir = RunDir::create(&parent, started_at)?;
    rig::check_run_dir(&dir.path)?;
    if args.out.is_none() && !args.keep_all {
        files::prune_runs(&parent, RUNS_KEPT, &*invocation.reporter);
    }
    let scratch = ScratchDir::create()?;
    let client = variation
        .prepare
        .map_or(Ok(client.clone()), |prepare| prepare(&client, scratch.path()))?;
    let session = SessionConfig {
        client_binary: &client,
        source_binary: &invocation.own_binary,
        source: &source,
        dir: &dir.path,
    };
    let course = Course {
        args,
        trigger,
        session: &session,
        sampling: sampling.as_ref(),
        dir: &dir,
        variation,
        invocation,
    };
    let mut probes = Vec::new();
    let judged = course
        .preflight(&mut probes, &mut events)
        .and_then(|()| course.judge(&checks, &mut events));
    let judged = judged.map_err(|error| rig::blame(error, &dir.path));
    let (evidence, mut rows, soak) =
        judged.inspect_err(|error| course.give_up(error, &probes, started_at))?;
    for waiver in args.profile.relax(&mut rows, std::env::consts::OS) {
        invocation.doing(&format!(
            "the profile relaxes {}, which nothing needed: {}",
            waiver.check, waiver.reason
        ));
    }
    let judged = Judged {
        evidence,
        rows,
        soak,
        dir,
        preflight: probes,
        exit: Exit::Environment,
    };
    let sentence = sentence(&judged, args.assertions.as_deref());
    let mut results = results(&judged, &sentence, started_at, invocation);
    let outputs = output::publish(&mut results, &judged.dir.path, &*invocation.reporter);
    invocation.result(&table::render(&judged.rows, &LABELS));
    let (exit, last_line) = outputs.conclude(judged.verdict(), &sentence);
    invocation.result(&conclusion(&judged, &last_line, invocation));
    Ok(Judged { exit, ..judged })
}

/// One run, from its session to its rows.
struct Course<'a> {
    args: &'a Args,
    trigger: &'a Trigger,
    session: &'a SessionConfig<'a>,
    sampling: Option<&'a SamplingBinaries>,
    dir: &'a RunDir,
    variation: &'a Variation,
    invocation: &'a Invocation,
}

impl Course<'_> {
    fn judge(
        &self,
        checks: &Suite,
        events: &mut Events,
    ) -> Result<(Evidence, Vec<Row>, Option<results::Soak>)> {
        let reporter = &*self.invocation.reporter;
        let step = Step::begin(reporter, "session: three reports");
        let evidence = self.collect(events)?;
        let mut rows = checks.judge(evidence.as_value())?;
        drop(step);
        let Some(sampling) = self.sampling else {
            return Ok((evidence, rows, None));
        };
        let step = Step::begin(reporter, "soak");
        let soaked = match self.soak(sampling, events) {
            Ok(soaked) => soaked,
            Err(error) => {
                let error = rig::blame(error, &self.dir.path);
                self.invocation.emit(&RunEvent::Error(&error));
                rows.push(soak::outcome::row_of_error(&error)?);
                return Ok((evidence, rows, None));
            }
        };
        drop(step);
        if self.args.soak.is_some() {
            self.invocation.result(&soaked.render());
        }
        rows.extend(soaked.rows()?);
        Ok((evidence, rows, Some(soaked.to_results())))
    }

    /// Tries what may be refused, shows the table, and leaves it in the run's directory whatever follows.
    fn preflight(&self, probes: &mut Vec<Probe>, events: &mut Events) -> Result<()> {
        if !(self.args.preflight || self.variation.preflight) {
            return Ok(());
        }
        let _step = Step::begin(&*self.invocation.reporter, "preflight");
        let preflight = Preflight {
            client: self.session.client_binary,
            client_version: &self.args.profile.client.version,
            own_binary: self.session.source_binary,
            sampling: self.sampling,
            tools: self.variation.witness,
            dir: &self.dir.path,
        };
        let tried = preflight.run(probes, events);
        files::write_json(&self.dir.path.join("preflight.json"), probes)?;
        for line in preflight::render(probes).lines() {
            self.invocation.doing(line);
        }
        Ok(tried?)
    }

    /// The identity of every binary that takes part.
    fn binaries(&self) -> Result<Value> {
        let mut binaries = json!({
            "client": BinaryIdentity::read(self.session.client_binary)?,
            "source": BinaryIdentity::read(self.session.source_binary)?,
        });
        if let Some(sampling) = self.sampling {
            binaries["sampling_process"] = json!(BinaryIdentity::read(&sampling.sampling)?);
            binaries["leaking_process"] = json!(BinaryIdentity::read(&sampling.leaking)?);
        }
        Ok(binaries)
    }

    /// A run that ends before its verdict leaves its results as well, and shows its logs.
    fn give_up(&self, error: &anyhow::Error, preflight: &[Probe], started_at: Timestamp) {
        let invocation = self.invocation;
        for log in [self.session.client_log(), self.session.source_log()] {
            invocation.emit(&RunEvent::LogToShow(&log));
        }
        invocation.doing(&format!(
            "artifacts: {}; reproduce with: {}",
            shown_path(&self.dir.path),
            invocation.command
        ));
        let run = results::Run::ended(&self.dir.id, invocation.command.clone(), started_at);
        let environment = Environment::read(invocation.checkout.as_deref());
        let mut results = Results::of_error(run, environment, error);
        results.preflight = preflight.to_vec();
        // The run ends with its own error, whatever becomes of its outputs.
        let _ = output::publish(&mut results, &self.dir.path, &*invocation.reporter);
    }

    /// The count test and its control, in seconds; the session experiment as well where that was asked for.
    fn soak(&self, sampling: &SamplingBinaries, events: &mut Events) -> Result<SoakOutcome> {
        let tracked = resources::select(&[]).map_err(RunError::Environment)?;
        let dir = self.session.dir.join("soak");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let soak = Soak {
            sampling,
            seed: soak::fresh_seed(),
            dir: &dir,
            live: self.args.soak.map(|total| LivePlan {
                operation: Operation::Sample,
                tracked: &tracked,
                client_binary: self.session.client_binary,
                source_binary: self.session.source_binary,
                source: self.session.source,
                time_box: TimeBox::begin(total),
            }),
        };
        soak.run(events)
    }

    /// Idle, busy, later: three reports from one session, each with the observation of its window.
    fn collect(&self, events: &mut Events) -> Result<Evidence> {
        let Self {
            args,
            trigger,
            session: parts,
            dir,
            variation,
            invocation,
            ..
        } = *self;
        let thresholds = args.thresholds.resolve_for(parts.source);
        let mut rig = Rig::start_client(parts, args.profile.clone(), trigger.clone(), events)?;
        let mut evidence = Evidence::new(&Head {
            run_id: &dir.id,
            command: &invocation.command,
            started_at: &Timestamp::now().to_string(),
            environment: &Environment::read(invocation.checkout.as_deref()),
            thresholds: &thresholds,
            client: json!({
                "pid": rig.observer.own_pid(),
                "profile": args.profile.name,
                "binary": shown_path(parts.client_binary),
                "version": rig.version,
                "target": rig.target,
                "started_monotonic_ns": rig.observer.started_ns(),
            }),
            source: rig.describe_source(),
            binaries: self.binaries()?,
        });
        let path = dir.path.join("evidence.json");

        events.doing("report 1 of 3: idle");
        let first_trigger = monotonic_ns();
        if evidence.push_report(LABELS[0], args, &mut rig, dir, events)? == Filed::ByAnother {
            // One more than the three that are judged.
            trigger.can_bring(LABELS.len() as u32 + 1)?;
            evidence.set_process(rig.observer.own_pid(), rig.observer.started_ns());
            evidence.push_report(LABELS[0], args, &mut rig, dir, events)?;
        }
        evidence.write(&path)?;

        events.doing("report 2 of 3: busy");
        raise_load(&mut rig, &thresholds, events)?;
        evidence.push_report(LABELS[1], args, &mut rig, dir, events)?;
        rig.set_rate(0, events)?;
        evidence.write(&path)?;

        events.doing("report 3 of 3: later");
        let since_first = Duration::from_nanos(monotonic_ns() - first_trigger);
        events.sleep(args.later_delay.saturating_sub(since_first))?;
        evidence.push_report(LABELS[2], args, &mut rig, dir, events)?;
        // On disk before anything may hang: the tools are information, the evidence is the verdict's.
        evidence.write(&path)?;
        if let Some(witness) = variation.witness {
            evidence.add_witnesses(witness(rig.pid));
            evidence.write(&path)?;
        }

        rig.quit(events)?;
        Ok(evidence)
    }
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements {
        self.binaries.requirements(&self.profile)
    }

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

/// The three reports of a run.
const LABELS: [&str; 3] = ["idle", "busy", "later"];

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
enum Filed {
    /// The observed process filed it.
    ByTheObserved,
    /// A descendant of the observed process filed it, which is observed from now on: nobody saw this report's window.
    ByAnother,
}

impl Evidence {
    fn push_report(
        &mut self,
        label: &'static str,
        args: &Args,
        rig: &mut Rig,
        dir: &RunDir,
        events: &mut Events,
    ) -> Result<Filed> {
        let filed = rig.file_report(args.window, events)?;
        let appeared_ns = filed.appeared_ns;
        let report = Report::read(label, filed, &dir.path)
            .map_err(|error| RunError::Client(format!("the {label} report: {error:#}")))?;
        if let Some(own_pid) = report.own_pid()
            && rig.follow(own_pid, events)?
        {
            return Ok(Filed::ByAnother);
        }
        report.check_version(&args.profile.reports, rig.version.as_deref())?;
        // The window that the report claims ends before its zip appears.
        rig.await_observer(appeared_ns, events)?;
        let reports = &args.profile.reports;
        let window = match reports.window {
            WindowFrom::Claimed => report.claimed_window(),
            WindowFrom::Outside => report.window_from_outside(reports),
        };
        let observed = window.and_then(|window| rig.observer.between(window));
        self.push(report, observed, rig.observer.cpu_source());
        Ok(Filed::ByTheObserved)
    }
}

fn results(judged: &Judged, sentence: &str, started_at: Timestamp, invocation: &Invocation) -> Results {
    let run = results::Run::ended(&judged.dir.id, invocation.command.clone(), started_at);
    Results {
        checks: judged.rows.clone(),
        soak: judged.soak.clone(),
        preflight: judged.preflight.clone(),
        ..Results::new(
            run,
            Environment::read(invocation.checkout.as_deref()),
            judged.verdict().into(),
            sentence.to_owned(),
        )
    }
    .with_evidence(judged.evidence.as_value())
}

/// The last lines; the very last is the verdict's sentence.
fn conclusion(judged: &Judged, sentence: &str, invocation: &Invocation) -> String {
    let dir = shown_path(&judged.dir.path);
    format!(
        "evidence:     {dir}/evidence.json\npage:         {dir}/report.html\nsee it again: {}\n{sentence}",
        invocation.command
    )
}

/// Begins with the verdict's word, and says what the verdict leaves out and who else judged.
fn sentence(judged: &Judged, assertions: Option<&Path>) -> String {
    let Tally {
        passed,
        failed,
        skipped,
        relaxed,
    } = judged.tally();
    let mut sentence = format!(
        "{}: {passed} passed, {failed} failed, {skipped} skipped",
        Verdict::from(judged.verdict())
    );
    if relaxed > 0 {
        sentence += &format!(", {relaxed} relaxed by the profile");
    }
    for test in unjudged_tests(&judged.rows) {
        sentence += &format!("; the profile relaxes all of test {test}, which judged nothing");
    }
    sentence + &results::judged_by(assertions)
}

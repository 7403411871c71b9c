//! Client profiles: what the harness must know of a client to verify it, as data. docs/other-clients.md explains every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use checks::Row;
use serde::Deserialize;

use crate::error::RunError;

/// Everything that the harness knows of a client.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) client: ClientSpec,
    pub(crate) triggers: BTreeMap<String, Trigger>,
    pub(crate) reports: Reports,
    #[serde(default)]
    pub(crate) stop: Stop,
    pub(crate) load: Option<Load>,
    #[serde(default)]
    pub(crate) relax: Vec<Waiver>,
    /// Where the profile lies: what it names by a relative path lies beside it.
    #[serde(skip)]
    dir: PathBuf,
}

/// How to get it and how to start it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ClientSpec {
    /// A package of this workspace that is built first.
    pub(crate) package: Option<String>,
    /// A program that is there: a name looked for on PATH, or a path.
    binary: Option<String>,
    /// How to install that program, for people.
    install: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Run once before the run that counts; empty where it has no such thing.
    #[serde(default = "version_flag")]
    pub(crate) version: Vec<String>,
    /// Whether it needs a SPICE server.
    #[serde(default = "yes")]
    pub(crate) spice: bool,
    /// Whether it speaks our control protocol.
    #[serde(default)]
    pub(crate) control_socket: bool,
    /// A file that it makes once it can be triggered.
    ready_file: Option<String>,
    /// The trigger that is used unless another one is asked for.
    trigger: String,
    /// The exit status that says "no session to be had": not this client's fault.
    pub(crate) environment_status: Option<i32>,
}

/// One way to make it file a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TriggerKeys")]
pub(crate) struct Trigger {
    pub(crate) action: Action,
    /// Further arguments that the client needs for it.
    args: Vec<String>,
    /// The names of the zips that it brings; those of all reports where left out.
    names: Option<String>,
    /// How many reports it brings in one session.
    pub(crate) at_most: Option<u32>,
}

/// The action that makes the client file a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A request on its control socket.
    ControlSocket,
    /// A message that no client knows, on this channel of the session.
    ProtocolGap {
        channel: String,
    },
    Signal(SignalName),
    /// A shell command, which finds `CLIENT_PID` and `REPORTS` in its environment.
    Command(String),
    /// None: the client files one every so many seconds.
    Interval {
        seconds: u32,
    },
}

/// A `[triggers.NAME]` table, key by key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TriggerKeys {
    by: By,
    channel: Option<String>,
    signal: Option<SignalName>,
    command: Option<String>,
    seconds: Option<u32>,
    #[serde(default)]
    args: Vec<String>,
    names: Option<String>,
    at_most: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    ControlSocket,
    ProtocolGap,
    Signal,
    Command,
    Interval,
}

impl TryFrom<TriggerKeys> for Trigger {
    type Error = String;

    fn try_from(keys: TriggerKeys) -> Result<Self, String> {
        let given = (keys.channel, keys.signal, keys.command, keys.seconds);
        let action = match (keys.by, given) {
            (By::ControlSocket, (None, None, None, None)) => Action::ControlSocket,
            (By::ProtocolGap, (Some(channel), None, None, None)) => {
                const CHANNELS: [&str; 4] = ["main", "display", "inputs", "cursor"];
                if !CHANNELS.contains(&channel.as_str()) {
                    return Err(format!(
                        "channel = {channel:?}: there are {}",
                        CHANNELS.join(", ")
                    ));
                }
                Action::ProtocolGap { channel }
            }
            (By::Signal, (None, Some(signal), None, None)) => Action::Signal(signal),
            (By::Command, (None, None, Some(command), None)) => Action::Command(command),
            (By::Interval, (None, None, None, Some(seconds))) => Action::Interval { seconds },
            (by, _) => {
                return Err(match by {
                    By::ControlSocket => "by = \"control-socket\" takes no further key",
                    By::ProtocolGap => "by = \"protocol-gap\" needs `channel`, and no other kind's key",
                    By::Signal => "by = \"signal\" needs `signal`, and no other kind's key",
                    By::Command => "by = \"command\" needs `command`, and no other kind's key",
                    By::Interval => "by = \"interval\" needs `seconds`, and no other kind's key",
                }
                .to_owned());
            }
        };
        Ok(Self {
            action,
            args: keys.args,
            names: keys.names,
            at_most: keys.at_most,
        })
    }
}

/// Signals that a client may take for a trigger, or for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum SignalName {
    #[serde(rename = "USR1")]
    Usr1,
    #[serde(rename = "USR2")]
    Usr2,
    #[serde(rename = "HUP")]
    Hup,
    #[serde(rename = "INT")]
    Int,
    #[serde(rename = "TERM")]
    Term,
}

/// Where reports appear, and what they say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Reports {
    names: String,
    pub(crate) whole: Whole,
    pub(crate) window: WindowFrom,
    /// `MEMBER/KEY` of an RFC 3339 time at which the sampling had ended.
    pub(crate) written_at: Option<String>,
    /// `MEMBER/KEY` of the version of the client that filed the report: it must be the one that `--version` prints.
    pub(crate) version_in: Option<String>,
}

/// When a zip that is there is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whole {
    /// At once: it is written beside and renamed.
    Renamed,
    /// Once it can be read to its end.
    InPlace,
}

/// Who says over which window the figures were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WindowFrom {
    /// `window` in metadata.json.
    Claimed,
    /// Nobody: it lies between the trigger and the zip, and is as long as sample_window_ms.
    Outside,
}

/// How it is asked to end; TERM and KILL follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StopKeys")]
pub(crate) enum Stop {
    /// The end of its standard input.
    #[default]
    Stdin,
    Signal(SignalName),
    ControlSocket,
}

/// The `[stop]` table, key by key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopKeys {
    #[serde(default)]
    by: StopBy,
    signal: Option<SignalName>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StopBy {
    #[default]
    Stdin,
    Signal,
    ControlSocket,
}

impl TryFrom<StopKeys> for Stop {
    type Error = &'static str;

    fn try_from(keys: StopKeys) -> Result<Self, Self::Error> {
        match (keys.by, keys.signal) {
            (StopBy::Stdin, None) => Ok(Self::Stdin),
            (StopBy::Signal, Some(signal)) => Ok(Self::Signal(signal)),
            (StopBy::ControlSocket, None) => Ok(Self::ControlSocket),
            _ => Err("[stop] needs `signal` with by = \"signal\", and not otherwise"),
        }
    }
}

/// How a client that needs no SPICE server is kept busy: shell commands with `CLIENT_PID` and `REPORTS`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    pub(crate) on: String,
    pub(crate) off: String,
}

/// A check that this client need not pass, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    /// The check's id; `*` stands for anything.
    pub(crate) check: String,
    pub(crate) reason: String,
    /// The one operating system that it holds for.
    platform: Option<String>,
}

fn yes() -> bool {
    true
}

fn version_flag() -> Vec<String> {
    vec!["--version".to_owned()]
}

/// What stands for a placeholder in a client's arguments.
pub(crate) struct Placeholders<'a> {
    pub(crate) target: &'a str,
    pub(crate) vv: &'a Path,
    pub(crate) socket: &'a Path,
    pub(crate) reports: &'a Path,
}

/// The placeholders that there are.
const PLACEHOLDERS: [&str; 4] = ["{target}", "{vv}", "{socket}", "{reports}"];

/// The embedded profiles, by name.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

impl Profile {
    /// Our own client's.
    pub(crate) fn own() -> Result<Self> {
        Self::load("headless-client")
    }

    /// An embedded profile by its name, or one in a file.
    pub(crate) fn load(name: &str) -> Result<Self> {
        let is_path = name.contains('/') || name.ends_with(".toml");
        let (text, path) = if is_path {
            let text =
                std::fs::read_to_string(name).with_context(|| format!("cannot read the profile {name}"))?;
            (text, Path::new(name))
        } else {
            let embedded = EMBEDDED.iter().find(|(known, _)| *known == name);
            let (_, text) = embedded.with_context(|| {
                let names: Vec<&str> = EMBEDDED.iter().map(|(known, _)| *known).collect();
                format!(
                    "there is no profile {name:?}; embedded are {}; a file is named with its path",
                    names.join(", ")
                )
            })?;
            ((*text).to_owned(), Path::new(""))
        };
        Self::parse(&text, path).with_context(|| {
            format!("the profile {name} is not valid; the page \"Verify your own client\" explains every key")
        })
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut profile: Self = toml::from_str(text).map_err(|error| on_one_line(&error, text))?;
        profile.dir = path.parent().map(Path::to_owned).unwrap_or_default();
        profile.check()?;
        Ok(profile)
    }

    /// What the types do not say.
    fn check(&self) -> Result<()> {
        let client = &self.client;
        ensure!(
            client.package.is_some() != client.binary.is_some(),
            "[client] needs either `package` or `binary`"
        );
        ensure!(
            self.triggers.contains_key(&client.trigger),
            "[client] trigger = {:?}, but there is no [triggers.{}]",
            client.trigger,
            client.trigger
        );
        for (name, trigger) in &self.triggers {
            self.check_trigger(trigger)
                .with_context(|| format!("[triggers.{name}]"))?;
        }
        let arguments = client
            .args
            .iter()
            .chain(self.triggers.values().flat_map(|t| &t.args));
        for argument in arguments.chain(&client.ready_file) {
            let rest = PLACEHOLDERS.iter().fold(argument.clone(), |rest, placeholder| {
                rest.replace(placeholder, "")
            });
            ensure!(
                !rest.contains(['{', '}']),
                "{argument:?} has a placeholder that there is not; there are {}",
                PLACEHOLDERS.join(", ")
            );
        }
        ensure!(
            client.control_socket || self.stop != Stop::ControlSocket,
            "[stop] by = \"control-socket\" needs control-socket = true in [client]"
        );
        let places = [
            ("written-at", &self.reports.written_at),
            ("version-in", &self.reports.version_in),
        ];
        for (key, place) in places {
            ensure!(
                place.as_ref().is_none_or(|place| place.contains('/')),
                "[reports] {key} is MEMBER/KEY, such as \"metadata.json/timestamp\""
            );
        }
        for Waiver { check, reason, .. } in &self.relax {
            ensure!(
                check.starts_with(|c: char| ('1'..='6').contains(&c)) && check.len() > 2,
                "[[relax]] check = {check:?} names no check: begin with its test's number, such as \"6.*.ascending\""
            );
            ensure!(!reason.trim().is_empty(), "[[relax]] {check} needs a reason");
        }
        Ok(())
    }

    /// What the trigger needs of the client.
    fn check_trigger(&self, trigger: &Trigger) -> Result<()> {
        match trigger.action {
            Action::ProtocolGap { .. } => ensure!(
                self.client.spice,
                "a protocol gap needs a client that speaks SPICE"
            ),
            Action::ControlSocket => ensure!(
                self.client.control_socket,
                "by = \"control-socket\" needs control-socket = true in [client]"
            ),
            Action::Signal(_) | Action::Command(_) | Action::Interval { .. } => {}
        }
        Ok(())
    }

    /// The trigger of that name, or the usual one.
    pub(crate) fn trigger(&self, asked: Option<&str>) -> Result<&Trigger> {
        let name = asked.unwrap_or(&self.client.trigger);
        self.triggers.get(name).with_context(|| {
            let names: Vec<&str> = self.triggers.keys().map(String::as_str).collect();
            format!(
                "the profile {} has no trigger {name:?}; it has {}",
                self.name,
                names.join(", ")
            )
        })
    }

    /// The program that the profile names, where it names one.
    pub(crate) fn find_binary(&self) -> Result<PathBuf, RunError> {
        let name = self.client.binary.as_deref().unwrap_or_default();
        if name.contains('/') {
            return Ok(self.dir.join(name));
        }
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&on_path)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let install = self
                    .client
                    .install
                    .as_deref()
                    .map(|how| format!("install it with `{how}`, or "))
                    .unwrap_or_default();
                RunError::Environment(format!(
                    "there is no {name} on PATH: {install}name it with --client-bin"
                ))
            })
    }

    /// The client's command line for a trigger.
    pub(crate) fn arguments(&self, trigger: &Trigger, places: &Placeholders<'_>) -> Vec<String> {
        let all = self.client.args.iter().chain(&trigger.args);
        all.map(|argument| places.fill(argument)).collect()
    }

    /// The file that tells that the client can be triggered.
    pub(crate) fn ready_file(&self, places: &Placeholders<'_>) -> Option<PathBuf> {
        let file = self.client.ready_file.as_ref()?;
        Some(PathBuf::from(places.fill(file)))
    }

    /// The names of the zips that a trigger brings, for the gap that was sent where that was it.
    pub(crate) fn names(&self, trigger: &Trigger, opcode: Option<u64>) -> String {
        let names = trigger.names.as_ref().unwrap_or(&self.reports.names);
        let channel = match &trigger.action {
            Action::ProtocolGap { channel } => channel,
            _ => "*",
        };
        let names = names.replace("{channel}", channel);
        names.replace(
            "{opcode}",
            &opcode.map_or_else(|| "*".to_owned(), |n| n.to_string()),
        )
    }

    /// Marks the rows that this client need not pass with the reason, and returns the relaxations that nothing needed.
    pub(crate) fn relax<'a>(&'a self, rows: &mut [Row], os: &str) -> Vec<&'a Waiver> {
        let mut unused = Vec::new();
        for waiver in &self.relax {
            if waiver.platform.as_deref().is_some_and(|platform| platform != os) {
                continue;
            }
            let mut needed = false;
            for row in rows.iter_mut() {
                if row.passed != Some(true) && matches(&waiver.check, &row.check) {
                    row.relaxed = Some(waiver.reason.clone());
                    needed = true;
                }
            }
            if !needed {
                unused.push(waiver);
            }
        }
        unused
    }
}

impl Placeholders<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("{target}", self.target)
            .replace("{vv}", &self.vv.to_string_lossy())
            .replace("{socket}", &self.socket.to_string_lossy())
            .replace("{reports}", &self.reports.to_string_lossy())
    }
}

/// What is wrong with a profile, and in which line, without the picture of it.
fn on_one_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let message = error.message();
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => anyhow::anyhow!("line {}: {message}", before.matches('\n').count() + 1),
        None => anyhow::anyhow!("{message}"),
    }
}

/// Whether a name is one of a pattern's, in which `*` stands for anything.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len())
                .filter(|at| name.is_char_boundary(*at))
                .any(|at| matches(rest, &name[at..]))
        }),
    }
}

/// Reads `--profile`, so that a wrong one is a usage error before anything starts.
pub(crate) fn parse_profile(name: &str) -> Result<Profile, String> {
    Profile::load(name).map_err(|error| format!("{error:#}"))
}

impl Trigger {
    /// Refuses what a run cannot have: more reports than the trigger brings.
    pub(crate) fn can_bring(&self, reports: u32) -> Result<()> {
        match self.at_most {
            Some(most) if most < reports => {
                bail!("{reports} reports are wanted, and this trigger brings {most} in one session")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SMALL: &str = r#"
name = "x"
[client]
binary = "x"
trigger = "signal"
[triggers.signal]
by = "signal"
signal = "USR1"
[reports]
names = "x-*.zip"
whole = "in-place"
window = "outside"
"#;

    fn parse(text: &str) -> Result<Profile> {
        Profile::parse(text, Path::new("/profiles/x.toml"))
    }

    #[test]
    fn the_embedded_profiles_are_valid() {
        let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["headless-client", "ryll", "small-client"]);
        for name in names {
            assert_eq!(Profile::load(name).expect("good").name, name);
        }
        let own = Profile::own().expect("good");
        assert!(own.relax.is_empty(), "our own client is excused from nothing");
    }

    #[test]
    fn a_bad_profile_is_told_what_is_wrong() {
        parse(SMALL).expect("good");
        for (from, to, said) in [
            (
                "name = \"x\"\n",
                "name = \"x\"\nnmae = 1\n",
                "unknown field `nmae`",
            ),
            ("binary = \"x\"", "", "either `package` or `binary`"),
            (
                "binary = \"x\"",
                "binary = \"x\"\nbinray = 1",
                "unknown field `binray`",
            ),
            ("trigger = \"signal\"", "trigger = \"bell\"", "no [triggers.bell]"),
            ("by = \"signal\"", "by = \"smell\"", "unknown variant `smell`"),
            ("by = \"signal\"", "by = \"interval\"", "needs `seconds`"),
            (
                "by = \"signal\"",
                "by = \"control-socket\"",
                "takes no further key",
            ),
            ("signal = \"USR1\"", "signal = \"KILL\"", "unknown variant `KILL`"),
            ("signal = \"USR1\"", "", "`signal`"),
            (
                "signal = \"USR1\"",
                "signal = \"USR1\"\nargs = [\"{pid}\"]",
                "placeholder",
            ),
            (
                "[reports]",
                "[stop]\nby = \"signal\"\n[reports]",
                "needs `signal`",
            ),
            (
                "[reports]",
                "[stop]\nby = \"control-socket\"\n[reports]",
                "control-socket = true",
            ),
            (
                "[reports]",
                "[[relax]]\ncheck = \"*\"\nreason = \"r\"\n[reports]",
                "names no check",
            ),
            (
                "[reports]",
                "[[relax]]\ncheck = \"6.x\"\nreason = \" \"\n[reports]",
                "needs a reason",
            ),
            (
                "[reports]",
                "[[relax]]\ncheck = \"6.x\"\n[reports]",
                "missing field `reason`",
            ),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = format!("{:#}", parse(&SMALL.replacen(from, to, 1)).expect_err(to));
            assert!(error.contains(said), "{to}: wanted {said:?}: {error}");
        }
        let error = format!("{:#}", parse("name = \"x\"\nnmae = 1\n").expect_err("unknown"));
        assert!(
            error.starts_with("line 2: unknown field") && !error.contains('\n'),
            "{error}"
        );
        let error = format!("{:#}", Profile::load("nobody").expect_err("not shipped"));
        assert!(error.contains("headless-client, ryll, small-client"), "{error}");
    }

    #[test]
    fn placeholders_are_filled() {
        let ryll = Profile::load("ryll").expect("good");
        let trigger = ryll.trigger(None).expect("there");
        let places = Placeholders {
            target: "127.0.0.1:1",
            vv: Path::new("/s/x.vv"),
            socket: Path::new("/s/c"),
            reports: Path::new("/r"),
        };
        assert_eq!(
            ryll.arguments(trigger, &places).join(" "),
            "--headless --file /s/x.vv --bug-report-dir /r --pedantic --pedantic-dir /r"
        );
        assert_eq!(
            ryll.names(trigger, Some(60_001)),
            "ryll-pedantic-display-hexdump-60001-*.zip"
        );
        let error = ryll.trigger(Some("bell")).expect_err("not there").to_string();
        assert!(error.contains("protocol-gap"), "{error}");
        assert!(trigger.can_bring(50).is_ok() && trigger.can_bring(51).is_err());
    }

    #[test]
    fn names_match_their_patterns_and_no_others() {
        for (pattern, name, is) in [
            ("a.zip", "a.zip", true),
            ("a.zip", "b.zip", false),
            ("a-*.zip", "a-.zip", true),
            ("a-*.zip", "a-b.zip.zip", true),
            ("a-*.zip", "a-b.zip.part", false),
            ("3.*.window.*", "3.idle.window.span", true),
            ("3.*.window.*", "3.idle.process", false),
            ("*", "", true),
            ("ü*ü", "üü", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn only_rows_that_are_named_are_relaxed_with_their_reason() {
        let mut profile = parse(SMALL).expect("good");
        let waiver = |check: &str, platform: Option<&str>| Waiver {
            check: check.to_owned(),
            reason: "because".to_owned(),
            platform: platform.map(str::to_owned),
        };
        profile.relax = vec![
            waiver("6.*.ascending", None),
            waiver("6.*.count", Some("macos")),
            waiver("5.*", None),
        ];
        let row = |check: &str, passed: bool| -> Row {
            serde_json::from_value(json!({"check": check, "passed": passed, "measured": 1, "allowed": 2}))
                .expect("a row")
        };
        let mut rows = [
            row("6.idle.ascending", false),
            row("6.busy.ascending", true),
            row("6.idle.count", false),
            row("6.idle.names", false),
        ];
        let unused = profile.relax(&mut rows, "linux");
        assert_eq!(unused, [&profile.relax[2]]);
        let relaxed: Vec<_> = rows.iter().map(|row| row.relaxed.is_some()).collect();
        assert_eq!(relaxed, [true, false, false, false]);
        assert_eq!(rows[0].passed, Some(false), "what was found stays said");
    }
}

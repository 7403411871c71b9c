//! Events as lines on a terminal or in a log: progress on standard error, results on standard output.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{MAIN_SEPARATOR, Path};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::format::{escaped, hidden};
use super::{DIMMED, FAILED, github, stdio};
use crate::reporter::{Reporter, RunEvent};

/// The shortest time between two lines about a soak's progress; a longer soak waits a tenth of its time limit.
const MIN_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Lines of a failed child's log that are shown.
const LOG_LINES: usize = 15;

/// The reporter of the binary.
#[derive(Default)]
pub struct Console(Mutex<SoakDisplay>);

#[derive(Default)]
struct SoakDisplay {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Reporter for Console {
    fn emit(&self, event: &RunEvent<'_>) {
        match event {
            RunEvent::StepBegan(title) if github::is_here() => {
                command(&format!("::group::{}", github::escape_data(title)));
            }
            RunEvent::StepEnded if github::is_here() => command("::endgroup::"),
            RunEvent::StepBegan(_) | RunEvent::StepEnded => {}
            RunEvent::Doing(what) => err(&escaped(what)),
            RunEvent::Starting(command) => err(&format!("{DIMMED}$ {}{DIMMED:#}", command_line(command))),
            RunEvent::LogToShow(path) => err(&log_tail(path)),
            RunEvent::SoakProgress {
                elapsed,
                total,
                progress,
                bounds,
            } => self.soak_progress(*elapsed, *total, progress, bounds),
            RunEvent::SoakEnded => {
                let mut display = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bar) = display.bar.take() {
                    bar.finish_and_clear();
                }
                display.last_line = None;
            }
            RunEvent::Result(text) => out(text),
            RunEvent::WorkflowCommand(text) => command(text),
            RunEvent::Warning(error) => err(&format!("warning: {}", one_line(error))),
            RunEvent::Error(error) => err(&format!("{FAILED}error:{FAILED:#} {}", one_line(error))),
        }
    }
}

impl Console {
    /// A bar on a terminal, elsewhere a line now and then.
    fn soak_progress(&self, elapsed: Duration, total: Duration, progress: &str, bounds: &str) {
        let mut display = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() {
            let bar = display.bar.get_or_insert_with(|| bar(total));
            bar.set_position(elapsed.as_secs());
            bar.set_prefix(progress.to_owned());
            bar.set_message(bounds.to_owned());
            return;
        }
        let now = Instant::now();
        let interval = MIN_LINE_INTERVAL.max(total / 10);
        let last = *display.last_line.get_or_insert(now);
        if now.duration_since(last) >= interval {
            display.last_line = Some(now);
            err(&format!("{:>5.0} s  {progress}; {bounds}", elapsed.as_secs_f64()));
        }
    }
}

/// An error and its causes. Names of files stand in it, which are not ours to choose.
fn one_line(error: &anyhow::Error) -> String {
    escaped(&format!("{error:#}"))
}

/// Text on standard output.
pub(crate) fn out(text: &str) {
    stdio::out(&format!("{}\n", safe(text)));
}

/// Text on standard error.
pub(crate) fn err(text: &str) {
    stdio::err(&format!("{}\n", safe(text)));
}

/// A line for GitHub's runner.
fn command(text: &str) {
    stdio::out(&format!("{text}\n"));
}

fn safe(text: &str) -> Cow<'_, str> {
    if github::is_here() {
        github::without_commands(text).into()
    } else {
        text.into()
    }
}

fn bar(total: Duration) -> ProgressBar {
    let bar = ProgressBar::new(total.as_secs());
    let style = ProgressStyle::with_template("{elapsed} {bar:20} {prefix}\n{wide_msg}");
    bar.with_style(style.expect("the template is valid"))
}

/// A path, relative where it is below the current directory.
pub(crate) fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    let below = below.filter(|below| !below.as_os_str().is_empty());
    escaped(&below.unwrap_or(path).to_string_lossy())
}

/// A child's command line, to be run again by hand.
pub(crate) fn command_line(command: &Command) -> String {
    let program = command.get_program();
    let program = if program.to_string_lossy().contains(MAIN_SEPARATOR) {
        quoted(OsStr::new(&shown_path(Path::new(program))))
    } else {
        quoted(program)
    };
    let arguments = command.get_args().map(quoted);
    std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The end of a log.
fn log_tail(path: &Path) -> String {
    let Ok(bytes) = std::fs::read(path) else {
        return format!("{}: not written", shown_path(path));
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let mut tail = format!("{}, last lines:", shown_path(path));
    if lines.is_empty() {
        tail += &format!("\n{DIMMED}  (empty){DIMMED:#}");
    }
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        let line = escaped(&anstream::adapter::strip_str(line).to_string());
        tail += &format!("\n{DIMMED}  {line}{DIMMED:#}");
    }
    tail
}

/// A word as a shell would read it back, on one line.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else if word.chars().any(hidden) {
        let escaped = |c: char| match c {
            '\\' | '\'' => format!("\\{c}"),
            _ if hidden(c) => format!("\\U{:08x}", u32::from(c)),
            _ => c.to_string(),
        };
        format!("$'{}'", word.chars().map(escaped).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, expected) in [
            ("a-b/c=1", "a-b/c=1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("it's\na \\", r"$'it\'s\U0000000aa \\'"),
        ] {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }

    #[test]
    fn paths_are_relative_below_the_current_directory_and_on_one_line() {
        let here = std::env::current_dir().expect("a current directory");
        assert_eq!(shown_path(&here.join("a/b")), "a/b");
        assert_eq!(shown_path(Path::new("/nonexistent/b")), "/nonexistent/b");
        assert_eq!(shown_path(Path::new("/x/a\n\u{1b}[2J")), r"/x/a\n\u{1b}[2J");
        let mut command = Command::new("true");
        command.arg("a b");
        assert_eq!(command_line(&command), "true 'a b'");
    }

    #[test]
    fn a_log_is_shown_from_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("client.log");
        assert!(log_tail(&log).contains("not written"));
        std::fs::write(&log, (0..40).map(|n| format!("line {n}\n")).collect::<String>()).expect("written");
        let tail = log_tail(&log);
        assert!(
            tail.contains("line 39") && tail.contains("line 25") && !tail.contains("line 24"),
            "{tail}"
        );
    }
}

//! A program that this one starts, and that does not outlive it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A program may take this long from TERM to its end, because it ends programs of its own.
const TERM_GRACE: Duration = Duration::from_secs(10);

/// SIGINT or SIGTERM ended the selftest.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Runs one program after another.
pub(crate) struct Runner {
    events: Receiver<Event>,
    sender: Sender<Event>,
}

#[derive(Debug, PartialEq)]
enum Event {
    Exited,
    Signalled,
}

impl Runner {
    /// From now on SIGINT and SIGTERM end the running program, and with it this one.
    pub(crate) fn new() -> Result<Self> {
        let (sender, events) = channel();
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
        let signalled = sender.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                if signalled.send(Event::Signalled).is_err() {
                    return;
                }
            }
        });
        Ok(Self { events, sender })
    }

    /// Runs `command` to its end, in a process group of its own.
    ///
    /// After the time limit, or a signal to this program, the whole group gets TERM and then KILL.
    pub(crate) fn run(&self, mut command: Command, limit: Duration) -> Result<ExitStatus> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut group = Group {
            id: Pid::from_child(&child),
            child,
            status: None,
        };
        let (id, exited) = (group.id, self.sender.clone());
        thread::spawn(move || {
            await_exit(id);
            let _ = exited.send(Event::Exited);
        });
        let event = self.events.recv_timeout(limit);
        if event == Ok(Event::Exited) {
            return group.end().context("cannot wait for a program");
        }
        let _ = kill_process_group(group.id, Signal::TERM);
        let _ = self.events.recv_timeout(TERM_GRACE);
        drop(group);
        match event {
            Err(RecvTimeoutError::Timeout) => bail!("{program} did not end within {limit:?}"),
            _ => Err(Interrupted.into()),
        }
    }
}

/// A child and what it started in its process group.
struct Group {
    id: Pid,
    child: Child,
    status: Option<ExitStatus>,
}

impl Group {
    /// Kills what is left of the group, and then reaps the child. Until then its id cannot be that of another group.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let _ = kill_process_group(self.id, Signal::KILL);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Waits without reaping.
fn await_exit(id: Pid) {
    while let Err(Errno::INTR) = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    /// A shell, and the read end of its standard output.
    fn shell(script: &str) -> (Command, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(writer);
        (command, reader)
    }

    /// `Runner::new` without its signal handlers, which are the whole test process's.
    fn runner() -> Runner {
        let (sender, events) = channel();
        Runner { events, sender }
    }

    #[test]
    fn run_returns_the_exit_status() {
        let (command, _) = shell("exit 7");
        let status = runner().run(command, Duration::from_secs(60)).expect("it ends");
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn the_time_limit_ends_a_program_and_its_children() {
        let (command, mut stdout) = shell("sleep 1000 & sleep 1000");
        let error = runner()
            .run(command, Duration::from_millis(50))
            .expect_err("it does not end");
        assert!(error.to_string().contains("did not end within 50ms"), "{error}");
        // End-of-file: no process holds the other end any more.
        stdout.read_to_end(&mut Vec::new()).expect("it ends");
    }

    #[test]
    fn a_signal_ends_a_program_by_term() {
        let script = "trap 'echo ended; exit' TERM; echo started; while :; do sleep 0.05; done";
        let (command, stdout) = shell(script);
        let runner = runner();
        let sender = runner.sender.clone();
        let reader = thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let first = lines.next();
            sender.send(Event::Signalled).expect("the runner waits");
            (first, lines.collect::<Vec<_>>())
        });
        let error = runner
            .run(command, Duration::from_secs(60))
            .expect_err("interrupted");
        assert!(error.is::<Interrupted>(), "{error}");
        let (first, rest) = reader.join().expect("no panic");
        assert_eq!(
            (first.as_deref(), rest),
            (Some("started"), vec!["ended".to_owned()])
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = runner().run(Command::new("/nonexistent"), Duration::from_secs(1));
        assert_eq!(
            error.expect_err("missing").to_string(),
            "cannot start /nonexistent"
        );
    }
}

//! A child process that cannot outlive the harness.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::events::{Attachment, ChildId, ChildSender, Events, Role};

/// How long a child may take at each step from a polite request to KILL.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// At the least, where the run's time is up.
const MIN_END_TIMEOUT: Duration = Duration::from_millis(100);

/// The longest line that a child's protocol may have.
const MAX_LINE: u64 = 4 << 20;

/// What becomes of a child's standard output.
pub(crate) enum Output {
    /// JSON lines, each an event of its own.
    Protocol,
    /// Goes to the log, as standard error always does.
    Log,
}

/// A running child, in a process group of its own, so that the terminal's Ctrl-C reaches the harness alone. It holds
/// the read end of a pipe as its standard input: where even this guard is killed, end-of-file tells the child.
pub(crate) struct ChildGuard {
    child: Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    ended: Receiver<()>,
    status: Option<ExitStatus>,
    deadline: Option<Instant>,
    attachment: Attachment,
}

impl ChildGuard {
    /// Starts `command`. Its end, and its protocol's messages, arrive in `events`; at their deadline it is ended in haste.
    pub(crate) fn spawn(
        role: Role,
        mut command: Command,
        output: Output,
        log: Option<&Path>,
        events: &mut Events,
    ) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.process_group(0).stdin(Stdio::piped());
        if let Some(log) = log {
            let file =
                std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
            command.stderr(file.try_clone()?);
            command.stdout(file);
        }
        match output {
            Output::Protocol => drop(command.stdout(Stdio::piped())),
            Output::Log => {}
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let attachment = events.attach(role);
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let sender = attachment.sender();
            thread::spawn(move || forward_messages(stdout, &sender));
        }
        let group = Pid::from_child(&child);
        let (announce, ended) = channel();
        let sender = attachment.sender();
        thread::spawn(move || {
            let status = await_end(group);
            // Both may have lost interest; the guard reaps the child either way.
            sender.exited(status);
            let _ = announce.send(());
        });
        Ok(Self {
            child,
            group,
            stdin,
            ended,
            status: None,
            deadline: events.deadline(),
            attachment,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn id(&self) -> ChildId {
        self.attachment.id()
    }

    /// Writes one line to the child's standard input.
    pub(crate) fn send_line(&mut self, line: &str) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .context("the child's standard input is closed")?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .context("cannot write to the child's standard input")
    }

    /// Waits for the child to end by itself; `None` when it has not after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.status.is_none() && self.ended.recv_timeout(limit).is_ok() {
            self.reap();
        }
        self.status
    }

    /// Ends the child: end-of-file, then TERM, then KILL; whatever it started goes with it.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.close();
        if self.wait(self.patience()).is_none() {
            let _ = kill_process_group(self.group, Signal::TERM);
            if self.wait(self.patience()).is_none() {
                self.reap();
            }
        }
        self.status
    }

    fn patience(&self) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(END_TIMEOUT, |deadline| {
            left(deadline).clamp(MIN_END_TIMEOUT, END_TIMEOUT)
        })
    }

    /// Tells the child that nothing more is to come.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Ends the child at once.
    pub(crate) fn kill(&mut self) {
        if self.status.is_none() {
            self.reap();
        }
    }

    /// Kills what is left of the group while the unreaped child still reserves its number, then reaps the child. Its end
    /// has been told to the queue by then.
    fn reap(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
        // Without anybody who announces it, or once that has been heard, this returns at once.
        let _ = self.ended.recv_timeout(END_TIMEOUT);
        self.status = self.child.wait().ok();
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits without reaping, so that the pid stays the child's until its guard lets go of it.
fn await_end(pid: Pid) -> String {
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit status {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => "an unknown status".to_owned(),
                };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return format!("a status that cannot be told ({error})"),
        }
    }
}

/// Forwards each line of JSON until the stream ends.
pub(super) fn forward_messages(stream: impl Read, sender: &ChildSender) {
    let mut reader = BufReader::new(stream);
    let silence = loop {
        let mut line = Vec::new();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => break "end of file".to_owned(),
            Ok(_) if line.last() != Some(&b'\n') => break "a line that does not end".to_owned(),
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(message) => sender.message(message),
                Err(error) => break format!("a line that is no JSON ({error})"),
            },
            Err(error) => break error.to_string(),
        }
    };
    sender.protocol_closed(silence);
}

/// A status as the harness words it.
pub(crate) fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::{Event, WaitOutcome};
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    const LIMIT: Duration = Duration::from_secs(20);

    fn spawn(script: &str) -> (ChildGuard, Events) {
        let mut events = Events::silent().expect("a queue");
        (spawn_with(script, &mut events), events)
    }

    fn spawn_with(script: &str, events: &mut Events) -> ChildGuard {
        ChildGuard::spawn(Role::Client, shell(script), Output::Protocol, None, events)
            .expect("/bin/sh starts")
    }

    /// The first message of a child that may have ended since.
    fn message(events: &mut Events) -> serde_json::Value {
        let message = |event: &Event| match event {
            Event::Message(_, message) => Some(Some(message.clone())),
            Event::Exited(..) => Some(None),
            _ => None,
        };
        loop {
            match events.wait(LIMIT, message).expect("no other end") {
                WaitOutcome::Got(Some(message)) => return message,
                WaitOutcome::Got(None) => {}
                WaitOutcome::TimedOut => panic!("no message"),
            }
        }
    }

    #[test]
    fn it_ends_at_end_of_file_or_by_term_or_by_kill() {
        for (script, expected) in [
            ("echo 1; cat >/dev/null; exit 7", "exit status 7"),
            (
                "trap 'exit 8' TERM; echo 1; while :; do sleep 0.05; done",
                "exit status 8",
            ),
            ("trap '' TERM; echo 1; while :; do sleep 0.05; done", "signal 9"),
        ] {
            let (mut child, mut events) = spawn(script);
            message(&mut events);
            assert_eq!(
                child.end().map(describe_status).as_deref(),
                Some(expected),
                "{script}"
            );
        }
    }

    #[test]
    fn it_is_ended_in_haste_where_the_time_is_up() {
        let mut events = Events::silent().expect("a queue");
        let mut child = spawn_with("trap '' TERM; echo 1; while :; do sleep 0.05; done", &mut events);
        message(&mut events);
        child.deadline = Some(Instant::now());
        assert_eq!(child.patience(), MIN_END_TIMEOUT);
        assert_eq!(child.end().map(describe_status).as_deref(), Some("signal 9"));
        assert!(
            matches!(events.wait_for_exit(child.id(), Duration::ZERO), Ok(true)),
            "its end is in the queue by then"
        );

        events.end_at(Instant::now() + Duration::from_secs(3600));
        let child = spawn_with("cat >/dev/null", &mut events);
        assert_eq!(child.patience(), END_TIMEOUT);
    }

    #[test]
    fn what_it_started_goes_with_it() {
        let (child, mut events) = spawn("sleep 1000 & echo $!; exit 0");
        // Its pid and the shell's end may arrive in either order.
        let pid = message(&mut events).as_i64().expect("a number");
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .expect("the straggler's pid");
        drop(child);
        // KILL is sent, not awaited: the straggler is init's to reap now.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !process_is_gone(pid) {
            assert!(Instant::now() < deadline, "{pid:?} outlived its guard");
            thread::yield_now();
        }
    }

    fn process_is_gone(pid: Pid) -> bool {
        use rustix::process::test_kill_process;
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        test_kill_process(pid).is_err() || stat.contains(") Z ")
    }

    #[test]
    fn broken_protocols_are_told() {
        for (script, expected) in [
            ("echo nonsense", "no JSON"),
            ("printf 7", "does not end"),
            ("exec >&-; cat >/dev/null", "end of file"),
        ] {
            let (_child, mut events) = spawn(script);
            let closed = |event: &Event| match event {
                Event::ProtocolClosed(_, why) => Some(Some(why.clone())),
                Event::Exited(..) => Some(None),
                _ => None,
            };
            let why = loop {
                match events.wait(LIMIT, closed).expect("no other end") {
                    WaitOutcome::Got(Some(why)) => break why,
                    WaitOutcome::Got(None) => {}
                    WaitOutcome::TimedOut => panic!("{script}: the protocol stays open"),
                }
            };
            assert!(why.contains(expected), "{script}: {why}");
        }
    }
}

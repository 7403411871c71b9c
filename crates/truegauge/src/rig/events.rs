//! Everything that can happen to a run, in one queue: a wait for anything notices an interrupt and a death too.

use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::RunError;
use crate::reporter::{Reporter, RunEvent};

/// A child of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The client's `--version`, before the run that counts.
    Trial,
    /// Our source or proxy.
    Source,
    /// QEMU.
    Guest,
    Client,
    /// The sampling process of the count test, or its leaking twin.
    SamplingProcess,
}

impl Role {
    fn dies(self, status: &str) -> RunError {
        match self {
            Self::Trial => RunError::Client(format!("the client's --version ended with {status}")),
            Self::Source => RunError::Environment(format!("the SPICE source ended in mid-run with {status}")),
            Self::Guest => RunError::Environment(format!("QEMU ended in mid-run with {status}")),
            Self::Client => RunError::Client(format!("the client ended in mid-run with {status}")),
            Self::SamplingProcess => {
                RunError::Client(format!("the sampling process ended in mid-run with {status}"))
            }
        }
    }
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    Interrupted,
    Exited(Role, String),
    /// A line of JSON from a child's protocol: the source's standard output, the client's control socket.
    Message(Role, Value),
    /// A child's protocol broke: end-of-file or something that is no JSON.
    Silence(Role, String),
}

/// What a wait came to.
#[derive(Debug)]
pub(crate) enum WaitOutcome<T> {
    Got(T),
    TimedOut,
}

/// How long after a client's end its source's may be noticed.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// The queue.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    interrupted: bool,
    deadline: Option<Instant>,
    reporter: Arc<dyn Reporter>,
}

impl Events {
    /// Starts the queue and listens for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn new(reporter: Arc<dyn Reporter>) -> Result<Self> {
        let (sender, receiver) = channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
        let interrupts = sender.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                if interrupts.send(Event::Interrupted).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self {
            sender,
            receiver,
            interrupted: false,
            deadline: None,
            reporter,
        })
    }

    #[cfg(test)]
    pub(crate) fn silent() -> Result<Self> {
        Self::new(Arc::new(crate::reporter::Recorder::default()))
    }

    pub(crate) fn reporter(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.reporter)
    }

    pub(crate) fn emit(&self, event: &RunEvent<'_>) {
        self.reporter.emit(event);
    }

    /// Reports the step that the run takes now.
    pub(crate) fn doing(&self, what: &str) {
        self.emit(&RunEvent::Doing(what));
    }

    /// Reports a child's command line before it is started.
    pub(crate) fn starting(&self, command: &Command) {
        self.emit(&RunEvent::Starting(command));
    }

    /// From this moment on every wait ends with [`RunError::TimeUp`], whatever its own limit.
    pub(crate) fn end_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Forgets what children said that have ended since, so that others can take their roles. An interrupt is kept.
    pub(crate) fn forget_the_ended(&mut self) {
        for event in self.receiver.try_iter() {
            self.interrupted |= matches!(event, Event::Interrupted);
        }
    }

    pub(crate) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Waits until `pick` takes an event. An interrupt, and the end of a child that `pick` does not expect, end the
    /// wait with their own error.
    pub(crate) fn wait<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<WaitOutcome<T>, RunError> {
        let own = Instant::now() + limit;
        let deadline = self.deadline.map_or(own, |end| end.min(own));
        loop {
            if self.interrupted {
                return Err(RunError::Interrupted);
            }
            let event = match self
                .receiver
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) if deadline < own => return Err(RunError::TimeUp),
                Err(RecvTimeoutError::Timeout) => return Ok(WaitOutcome::TimedOut),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the queue holds a sender itself"),
            };
            if let Some(picked) = pick(&event) {
                return Ok(WaitOutcome::Got(picked));
            }
            match event {
                Event::Interrupted => self.interrupted = true,
                Event::Exited(role, status) => return Err(self.blame(role, &status)),
                Event::Message(..) | Event::Silence(..) => {}
            }
        }
    }

    /// A client that loses its server ends, too, and its end may be noticed first: the source's explains it.
    fn blame(&self, role: Role, status: &str) -> RunError {
        if role == Role::Client {
            let deadline = Instant::now() + EXIT_GRACE;
            let left = || deadline.saturating_duration_since(Instant::now());
            while let Ok(event) = self.receiver.recv_timeout(left()) {
                if let Event::Exited(server @ (Role::Source | Role::Guest), status) = event {
                    return server.dies(&status);
                }
            }
        }
        role.dies(status)
    }

    /// Waits for the answer to a request: its result, or what went wrong.
    pub(crate) fn answer(
        &mut self,
        role: Role,
        id: u64,
        limit: Duration,
    ) -> Result<WaitOutcome<Result<Value, String>>, RunError> {
        self.wait(limit, |event| match event {
            Event::Message(who, answer) if *who == role && answer["id"] == id => {
                Some(if answer["ok"] == true {
                    Ok(answer["result"].clone())
                } else {
                    Err(answer["error"]["message"].as_str().unwrap_or_default().to_owned())
                })
            }
            _ => None,
        })
    }

    /// Waits for the end of a child that is expected to end; `false` when it has not after `limit`.
    pub(crate) fn ended(&mut self, role: Role, limit: Duration) -> Result<bool, RunError> {
        let ended = |event: &Event| matches!(event, Event::Exited(who, _) if *who == role).then_some(());
        Ok(matches!(self.wait(limit, ended)?, WaitOutcome::Got(())))
    }

    /// Lets time pass, unless something ends the run.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), RunError> {
        self.wait(time, |_| None::<()>).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_what_it_expects_and_fails_on_what_it_does_not() {
        let mut events = Events::silent().expect("a queue");
        let long = Duration::from_secs(10);
        events
            .sender()
            .send(Event::Message(Role::Source, serde_json::json!(7)))
            .expect("queued");
        let seven = |event: &Event| matches!(event, Event::Message(Role::Source, v) if v == 7).then_some(7);
        assert!(matches!(events.wait(long, seven), Ok(WaitOutcome::Got(7))));

        events
            .sender()
            .send(Event::Exited(Role::Client, "exit status: 9".to_owned()))
            .expect("queued");
        let Err(RunError::Client(why)) = events.pass(long) else {
            panic!("a dead client ends the wait")
        };
        assert!(why.contains("exit status: 9"), "{why}");

        let both = [(Role::Client, "exit status 1"), (Role::Source, "signal 9")];
        for (role, status) in both {
            let ended = Event::Exited(role, status.to_owned());
            events.sender().send(ended).expect("queued");
        }
        let Err(RunError::Environment(why)) = events.pass(long) else {
            panic!("the source's end explains the client's")
        };
        assert!(why.contains("signal 9"), "{why}");

        events
            .sender()
            .send(Event::Exited(Role::Source, "signal: 9".to_owned()))
            .expect("queued");
        assert!(matches!(events.pass(long), Err(RunError::Environment(_))));

        events.sender().send(Event::Interrupted).expect("queued");
        assert!(matches!(events.pass(long), Err(RunError::Interrupted)));
        assert!(
            matches!(events.pass(long), Err(RunError::Interrupted)),
            "an interrupt is never forgotten"
        );
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let mut events = Events::silent().expect("a queue");
        assert!(matches!(
            events.wait(Duration::from_millis(1), |_| None::<()>),
            Ok(WaitOutcome::TimedOut)
        ));
    }

    #[test]
    fn the_end_of_a_child_that_was_ended_is_forgotten_and_an_interrupt_is_not() {
        let mut events = Events::silent().expect("a queue");
        let ended = Event::Exited(Role::Client, "signal 9".to_owned());
        events.sender().send(ended).expect("queued");
        events.forget_the_ended();
        assert!(events.pass(Duration::ZERO).is_ok());

        events.sender().send(Event::Interrupted).expect("queued");
        events.forget_the_ended();
        assert!(matches!(events.pass(Duration::ZERO), Err(RunError::Interrupted)));
    }

    #[test]
    fn no_wait_outlasts_the_time_that_the_run_was_given() {
        let mut events = Events::silent().expect("a queue");
        events.end_at(Instant::now() + Duration::from_millis(1));
        assert!(matches!(
            events.pass(Duration::from_secs(3600)),
            Err(RunError::TimeUp)
        ));
        assert!(matches!(
            events.pass(Duration::from_secs(1)),
            Err(RunError::TimeUp)
        ));
    }
}

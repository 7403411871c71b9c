//! Everything that can happen to a run, in one queue: a wait for anything notices an interrupt and a death too.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Stop;

/// A child of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Build,
    /// The harness itself, of the selftest.
    Harness,
    /// libFuzzer, on one target.
    Fuzzer,
    /// The client's `--version`, before the run that counts.
    Trial,
    /// Our source or proxy.
    Source,
    /// QEMU.
    Guest,
    Client,
    /// The quiet process of the exact tier, or its leaking twin.
    Quiet,
}

impl Role {
    fn dies(self, status: &str) -> Stop {
        match self {
            Self::Build => Stop::Environment(format!("the build ended with {status}")),
            Self::Harness => Stop::Environment(format!("the harness ended with {status}")),
            Self::Fuzzer => Stop::Environment(format!("the fuzzer ended with {status}")),
            Self::Trial => Stop::Client(format!("the client's --version ended with {status}")),
            Self::Source => Stop::Environment(format!("the SPICE source ended in mid-run with {status}")),
            Self::Guest => Stop::Environment(format!("QEMU ended in mid-run with {status}")),
            Self::Client => Stop::Client(format!("the client ended in mid-run with {status}")),
            Self::Quiet => Stop::Client(format!("the quiet process ended in mid-run with {status}")),
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
pub(crate) enum Waited<T> {
    Got(T),
    TimedOut,
}

/// How long after a client's end its source's may be noticed.
const HINDSIGHT: Duration = Duration::from_millis(500);

/// The queue.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    interrupted: bool,
    deadline: Option<Instant>,
}

impl Events {
    /// Starts the queue and listens for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn new() -> Result<Self> {
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
        })
    }

    /// From this moment on every wait ends with [`Stop::TimeUp`], whatever its own limit.
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
    ) -> Result<Waited<T>, Stop> {
        let own = Instant::now() + limit;
        let deadline = self.deadline.map_or(own, |end| end.min(own));
        loop {
            if self.interrupted {
                return Err(Stop::Interrupted);
            }
            let event = match self
                .receiver
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) if deadline < own => return Err(Stop::TimeUp),
                Err(RecvTimeoutError::Timeout) => return Ok(Waited::TimedOut),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the queue holds a sender itself"),
            };
            if let Some(picked) = pick(&event) {
                return Ok(Waited::Got(picked));
            }
            match event {
                Event::Interrupted => self.interrupted = true,
                Event::Exited(role, status) => return Err(self.blame(role, &status)),
                Event::Message(..) | Event::Silence(..) => {}
            }
        }
    }

    /// A client that loses its server ends, too, and its end may be noticed first: the source's explains it.
    fn blame(&self, role: Role, status: &str) -> Stop {
        if role == Role::Client {
            let deadline = Instant::now() + HINDSIGHT;
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
    ) -> Result<Waited<Result<Value, String>>, Stop> {
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
    pub(crate) fn ended(&mut self, role: Role, limit: Duration) -> Result<bool, Stop> {
        let ended = |event: &Event| matches!(event, Event::Exited(who, _) if *who == role).then_some(());
        Ok(matches!(self.wait(limit, ended)?, Waited::Got(())))
    }

    /// Lets time pass, unless something ends the run.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), Stop> {
        self.wait(time, |_| None::<()>).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_what_it_expects_and_fails_on_what_it_does_not() {
        let mut events = Events::new().expect("a queue");
        let long = Duration::from_secs(10);
        events
            .sender()
            .send(Event::Message(Role::Source, serde_json::json!(7)))
            .expect("queued");
        let seven = |event: &Event| matches!(event, Event::Message(Role::Source, v) if v == 7).then_some(7);
        assert!(matches!(events.wait(long, seven), Ok(Waited::Got(7))));

        events
            .sender()
            .send(Event::Exited(Role::Client, "exit status: 9".to_owned()))
            .expect("queued");
        let Err(Stop::Client(why)) = events.pass(long) else {
            panic!("a dead client ends the wait")
        };
        assert!(why.contains("exit status: 9"), "{why}");

        let both = [(Role::Client, "exit status 1"), (Role::Source, "signal 9")];
        for (role, status) in both {
            let ended = Event::Exited(role, status.to_owned());
            events.sender().send(ended).expect("queued");
        }
        let Err(Stop::Environment(why)) = events.pass(long) else {
            panic!("the source's end explains the client's")
        };
        assert!(why.contains("signal 9"), "{why}");

        events
            .sender()
            .send(Event::Exited(Role::Source, "signal: 9".to_owned()))
            .expect("queued");
        assert!(matches!(events.pass(long), Err(Stop::Environment(_))));

        events.sender().send(Event::Interrupted).expect("queued");
        assert!(matches!(events.pass(long), Err(Stop::Interrupted)));
        assert!(
            matches!(events.pass(long), Err(Stop::Interrupted)),
            "an interrupt is never forgotten"
        );
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let mut events = Events::new().expect("a queue");
        assert!(matches!(
            events.wait(Duration::from_millis(1), |_| None::<()>),
            Ok(Waited::TimedOut)
        ));
    }

    #[test]
    fn the_end_of_a_child_that_was_ended_is_forgotten_and_an_interrupt_is_not() {
        let mut events = Events::new().expect("a queue");
        let ended = Event::Exited(Role::Client, "signal 9".to_owned());
        events.sender().send(ended).expect("queued");
        events.forget_the_ended();
        assert!(events.pass(Duration::ZERO).is_ok());

        events.sender().send(Event::Interrupted).expect("queued");
        events.forget_the_ended();
        assert!(matches!(events.pass(Duration::ZERO), Err(Stop::Interrupted)));
    }

    #[test]
    fn no_wait_outlasts_the_time_that_the_run_was_given() {
        let mut events = Events::new().expect("a queue");
        events.end_at(Instant::now() + Duration::from_millis(1));
        assert!(matches!(
            events.pass(Duration::from_secs(3600)),
            Err(Stop::TimeUp)
        ));
        assert!(matches!(events.pass(Duration::from_secs(1)), Err(Stop::TimeUp)));
    }
}

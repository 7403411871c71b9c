//! Everything that can happen to a run, in one queue: a wait for anything notices an interrupt and a death too.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    fn dies(self, status: &str, client_is_ready: bool) -> RunError {
        match self {
            Self::Trial => RunError::Client(format!("the client's --version ended with {status}")),
            Self::Source => RunError::Environment(format!("the SPICE source ended in mid-run with {status}")),
            Self::Guest => RunError::Environment(format!("QEMU ended in mid-run with {status}")),
            Self::Client if client_is_ready => {
                RunError::Client(format!("the client ended in mid-run with {status}"))
            }
            Self::Client => RunError::Client(format!("the client ended before it was ready, with {status}")),
            Self::SamplingProcess => {
                RunError::Client(format!("the sampling process ended in mid-run with {status}"))
            }
        }
    }
}

/// One child process, or one connection to it. An id is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChildId(u64);

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    Interrupted,
    Exited(ChildId, Role, String),
    /// A line of JSON from a child's protocol: the source's standard output, the client's control socket.
    Message(ChildId, Value),
    /// A child's protocol broke: end-of-file or a line that is not JSON.
    ProtocolClosed(ChildId, String),
}

impl Event {
    fn child(&self) -> Option<ChildId> {
        match self {
            Self::Interrupted => None,
            Self::Exited(child, ..) | Self::Message(child, _) | Self::ProtocolClosed(child, _) => {
                Some(*child)
            }
        }
    }
}

type Attached = Arc<Mutex<BTreeSet<ChildId>>>;

/// A child's place in the queue: events of a child that is detached are ignored, so that the end of a child that was
/// asked to end is never taken for the end of a later one. Detaches when dropped.
pub(crate) struct Attachment {
    id: ChildId,
    role: Role,
    queue: Sender<Event>,
    attached: Attached,
}

impl Attachment {
    pub(crate) fn id(&self) -> ChildId {
        self.id
    }

    pub(crate) fn sender(&self) -> ChildSender {
        ChildSender {
            id: self.id,
            role: self.role,
            queue: self.queue.clone(),
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.remove(&self.id);
    }
}

/// Sends the events of one child. A queue that is gone takes none.
#[derive(Clone)]
pub(crate) struct ChildSender {
    id: ChildId,
    role: Role,
    queue: Sender<Event>,
}

impl ChildSender {
    pub(crate) fn exited(&self, status: String) {
        let _ = self.queue.send(Event::Exited(self.id, self.role, status));
    }

    pub(crate) fn message(&self, message: Value) {
        let _ = self.queue.send(Event::Message(self.id, message));
    }

    pub(crate) fn protocol_closed(&self, reason: String) {
        let _ = self.queue.send(Event::ProtocolClosed(self.id, reason));
    }
}

/// What a wait came to.
#[derive(Debug)]
pub(crate) enum WaitOutcome<T> {
    Got(T),
    TimedOut,
}

/// How long after a client's end its source's may be noticed.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// How long after the end of a child's socket or pipe the child's own end may be noticed.
const BROKEN_CONNECTION_GRACE: Duration = Duration::from_secs(2);

/// The queue.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    attached: Attached,
    last_id: u64,
    interrupted: bool,
    client_is_ready: bool,
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
            attached: Attached::default(),
            last_id: 0,
            interrupted: false,
            client_is_ready: false,
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

    /// From this moment on a client that ends was never ready.
    pub(crate) fn client_starts(&mut self) {
        self.client_is_ready = false;
    }

    /// From this moment on a client that ends does so in mid-run.
    pub(crate) fn client_is_ready(&mut self) {
        self.client_is_ready = true;
    }

    /// From this moment on every wait ends with [`RunError::TimeUp`], whatever its own limit.
    pub(crate) fn end_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Gives a child, or a connection to one, its place in the queue.
    pub(crate) fn attach(&mut self, role: Role) -> Attachment {
        self.last_id += 1;
        let id = ChildId(self.last_id);
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.insert(id);
        Attachment {
            id,
            role,
            queue: self.sender.clone(),
            attached: Arc::clone(&self.attached),
        }
    }

    fn is_attached(&self, child: ChildId) -> bool {
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.contains(&child)
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
            if event.child().is_some_and(|child| !self.is_attached(child)) {
                continue;
            }
            if let Some(picked) = pick(&event) {
                return Ok(WaitOutcome::Got(picked));
            }
            match event {
                Event::Interrupted => self.interrupted = true,
                Event::Exited(_, role, status) => return Err(self.attribute_exit(role, &status)),
                Event::Message(..) | Event::ProtocolClosed(..) => {}
            }
        }
    }

    /// A client that loses its server ends, too, and its end may be noticed first: the source's explains it.
    fn attribute_exit(&self, role: Role, status: &str) -> RunError {
        if role == Role::Client {
            let deadline = Instant::now() + EXIT_GRACE;
            let left = || deadline.saturating_duration_since(Instant::now());
            while let Ok(event) = self.receiver.recv_timeout(left()) {
                if let Event::Exited(_, server @ (Role::Source | Role::Guest), status) = event {
                    return server.dies(&status, self.client_is_ready);
                }
            }
        }
        role.dies(status, self.client_is_ready)
    }

    /// The error of a broken connection to a child. A child that died closed its end of the connection first: the child's exit
    /// is the cause, if it follows.
    pub(crate) fn exit_or(&mut self, broken: RunError) -> RunError {
        self.sleep(BROKEN_CONNECTION_GRACE).err().unwrap_or(broken)
    }

    /// Waits for the answer to a request: its result, or what went wrong.
    pub(crate) fn answer(
        &mut self,
        child: ChildId,
        id: u64,
        limit: Duration,
    ) -> Result<WaitOutcome<Result<Value, String>>, RunError> {
        self.wait(limit, |event| match event {
            Event::Message(who, answer) if *who == child && answer["id"] == id => {
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
    pub(crate) fn wait_for_exit(&mut self, child: ChildId, limit: Duration) -> Result<bool, RunError> {
        let ended = |event: &Event| matches!(event, Event::Exited(who, ..) if *who == child).then_some(());
        Ok(matches!(self.wait(limit, ended)?, WaitOutcome::Got(())))
    }

    /// Lets time pass, unless something ends the run.
    pub(crate) fn sleep(&mut self, time: Duration) -> Result<(), RunError> {
        self.wait(time, |_| None::<()>).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_wait_takes_what_it_expects_and_fails_on_what_it_does_not() {
        let mut events = Events::silent().expect("a queue");
        let source = events.attach(Role::Source);
        source.sender().message(serde_json::json!(7));
        let seven = |event: &Event| matches!(event, Event::Message(_, value) if value == 7).then_some(7);
        assert!(matches!(events.wait(LONG, seven), Ok(WaitOutcome::Got(7))));

        let client = events.attach(Role::Client);
        client.sender().exited("exit status: 9".to_owned());
        let Err(RunError::Client(why)) = events.sleep(LONG) else {
            panic!("a dead client ends the wait")
        };
        assert!(
            why.contains("ended before it was ready, with exit status: 9"),
            "{why}"
        );
        events.client_is_ready();
        client.sender().exited("exit status: 9".to_owned());
        let Err(RunError::Client(why)) = events.sleep(LONG) else {
            panic!("a dead client ends the wait")
        };
        assert!(why.contains("ended in mid-run with exit status: 9"), "{why}");

        client.sender().exited("exit status 1".to_owned());
        source.sender().exited("signal 9".to_owned());
        let Err(RunError::Environment(why)) = events.sleep(LONG) else {
            panic!("the source's end explains the client's")
        };
        assert!(why.contains("signal 9"), "{why}");

        source.sender().exited("signal: 9".to_owned());
        assert!(matches!(events.sleep(LONG), Err(RunError::Environment(_))));

        events.sender.send(Event::Interrupted).expect("queued");
        assert!(matches!(events.sleep(LONG), Err(RunError::Interrupted)));
        assert!(
            matches!(events.sleep(LONG), Err(RunError::Interrupted)),
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
    fn events_of_a_child_whose_guard_is_gone_are_ignored() {
        let mut events = Events::silent().expect("a queue");
        let former = events.attach(Role::Client);
        former.sender().exited("signal 9".to_owned());
        former.sender().protocol_closed("end of file".to_owned());
        drop(former);
        assert!(events.sleep(Duration::ZERO).is_ok());

        let next = events.attach(Role::Client);
        assert!(matches!(
            events.wait_for_exit(next.id(), Duration::from_millis(1)),
            Ok(false)
        ));
        next.sender().exited("exit status 0".to_owned());
        assert!(matches!(events.wait_for_exit(next.id(), LONG), Ok(true)));
    }

    #[test]
    fn no_wait_outlasts_the_time_that_the_run_was_given() {
        let mut events = Events::silent().expect("a queue");
        events.end_at(Instant::now() + Duration::from_millis(1));
        assert!(matches!(
            events.sleep(Duration::from_secs(3600)),
            Err(RunError::TimeUp)
        ));
        assert!(matches!(
            events.sleep(Duration::from_secs(1)),
            Err(RunError::TimeUp)
        ));
    }
}

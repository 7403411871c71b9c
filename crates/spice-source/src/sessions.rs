//! Who is being served: at most one session, and the channels that belong to it.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::channels::SideChannel;
use crate::event::Event;

/// How many events wait for a reader at most.
const EVENT_BACKLOG: usize = 1024;
/// Refusals are told only while this much room is left, so that a flood of them cannot crowd out the sessions' events.
const ROOM_KEPT_FOR_SESSIONS: usize = EVENT_BACKLOG / 2;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    ClientGone,
    Silent(Duration),
    Broken(String),
    ReplacedBy(u32),
    ShuttingDown,
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientGone => f.write_str("client disconnected"),
            Self::Silent(limit) => write!(f, "client silent for {limit:?}, although pinged"),
            Self::Broken(error) => write!(f, "connection failed: {error}"),
            Self::ReplacedBy(session) => write!(f, "another client took over as session {session}"),
            Self::ShuttingDown => f.write_str("the source is shutting down"),
        }
    }
}

/// The registry of sessions. Every change of it is told as an event, in the order of the changes.
pub(crate) struct Sessions {
    state: Mutex<State>,
    events: mpsc::Sender<Event>,
    refused: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Sessions started so far, and so the number of the latest.
    started: u32,
    current: Option<Session>,
}

struct Session {
    handle: SessionHandle,
    channels: HashSet<SideChannel>,
}

/// A session that is, or was, the current one.
#[derive(Debug, Clone)]
pub(crate) struct SessionHandle {
    /// Counts from 1. It is also the session's id on the wire.
    pub(crate) number: u32,
    /// Cancelled when the session ends.
    pub(crate) cancel: CancellationToken,
}

/// A side channel's membership in a session, which ends when this is dropped.
pub(crate) struct Membership {
    pub(crate) session: SessionHandle,
    pub(crate) channel: SideChannel,
    sessions: Arc<Sessions>,
}

impl Sessions {
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let sessions = Self {
            state: Mutex::default(),
            events,
            refused: AtomicU64::new(0),
        };
        (Arc::new(sessions), receiver)
    }

    /// Starts a session, ending the one before it.
    pub(crate) fn start(&self) -> SessionHandle {
        let mut state = self.state();
        let number = state.started + 1;
        self.end_current(&mut state, &SessionEnd::ReplacedBy(number));
        let handle = SessionHandle {
            number,
            cancel: CancellationToken::new(),
        };
        state.started = number;
        state.current = Some(Session {
            handle: handle.clone(),
            channels: HashSet::new(),
        });
        self.tell(Event::SessionStarted { session: number });
        handle
    }

    /// Joins a channel to the session of that number. `None` if it is over, or has such a channel already.
    pub(crate) fn join(self: &Arc<Self>, session: u32, channel: SideChannel) -> Option<Membership> {
        let mut state = self.state();
        let current = state.session(session)?;
        let is_new = current.channels.insert(channel);
        is_new.then(|| Membership {
            session: current.handle.clone(),
            channel,
            sessions: Arc::clone(self),
        })
    }

    pub(crate) fn is_current(&self, session: u32) -> bool {
        self.state().session(session).is_some()
    }

    /// Ends a session, unless it is over already.
    pub(crate) fn end(&self, session: u32, reason: &SessionEnd) {
        let mut state = self.state();
        if state.session(session).is_some() {
            self.end_current(&mut state, reason);
        }
    }

    /// Ends the current session, if there is one.
    pub(crate) fn end_any(&self, reason: &SessionEnd) {
        self.end_current(&mut self.state(), reason);
    }

    /// Tells that a connection was turned away.
    pub(crate) fn refuse(&self, reason: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(reason, "refused a connection");
        if self.events.capacity() > ROOM_KEPT_FOR_SESSIONS {
            self.tell(Event::Refused { reason });
        }
    }

    /// Puts an event into the queue. One that nobody has room for is lost: the source must not wait for its audience.
    pub(crate) fn tell(&self, event: Event) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!("an event was lost: {error}");
        }
    }

    /// Sessions started so far, sessions now, connections refused so far.
    pub(crate) fn counts(&self) -> (u32, u32, u64) {
        let state = self.state();
        (
            state.started,
            u32::from(state.current.is_some()),
            self.refused.load(Ordering::Relaxed),
        )
    }

    fn end_current(&self, state: &mut State, reason: &SessionEnd) {
        if let Some(session) = state.current.take() {
            session.handle.cancel.cancel();
            self.tell(Event::SessionEnded {
                session: session.handle.number,
                reason: reason.to_string(),
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The session of that number, if it is the current one.
    fn session(&mut self, number: u32) -> Option<&mut Session> {
        self.current
            .as_mut()
            .filter(|current| current.handle.number == number)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(current) = self.sessions.state().session(self.session.number) {
            current.channels.remove(&self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &mut mpsc::Receiver<Event>) -> Vec<Event> {
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    fn ended(session: u32, reason: &SessionEnd) -> Event {
        Event::SessionEnded {
            session,
            reason: reason.to_string(),
        }
    }

    #[test]
    fn a_newcomer_takes_over() {
        let (sessions, mut events) = Sessions::new();
        let first = sessions.start();
        let second = sessions.start();
        assert!(first.cancel.is_cancelled() && !second.cancel.is_cancelled());
        assert!(!sessions.is_current(first.number) && sessions.is_current(second.number));
        // The first one's end, noticed late, is not the second one's.
        sessions.end(first.number, &SessionEnd::ClientGone);
        assert_eq!(sessions.counts(), (2, 1, 0));
        assert_eq!(
            told(&mut events),
            [
                Event::SessionStarted { session: 1 },
                ended(1, &SessionEnd::ReplacedBy(2)),
                Event::SessionStarted { session: 2 },
            ]
        );
    }

    #[test]
    fn a_channel_joins_once_and_may_come_back() {
        let (sessions, _events) = Sessions::new();
        let main = sessions.start();
        let display = sessions.join(main.number, SideChannel::Display).unwrap();
        assert!(sessions.join(main.number, SideChannel::Display).is_none());
        assert!(sessions.join(main.number, SideChannel::Cursor).is_some());
        assert!(sessions.join(main.number + 1, SideChannel::Inputs).is_none());
        drop(display);
        assert!(sessions.join(main.number, SideChannel::Display).is_some());
        sessions.end(main.number, &SessionEnd::ClientGone);
        assert!(sessions.join(main.number, SideChannel::Inputs).is_none());
    }

    #[test]
    fn whichever_session_there_is_can_be_ended() {
        let (sessions, mut events) = Sessions::new();
        sessions.end_any(&SessionEnd::ShuttingDown);
        let session = sessions.start();
        sessions.end_any(&SessionEnd::ShuttingDown);
        assert!(session.cancel.is_cancelled());
        assert_eq!(
            told(&mut events),
            [
                Event::SessionStarted { session: 1 },
                ended(1, &SessionEnd::ShuttingDown)
            ]
        );
    }

    #[test]
    fn a_flood_of_refusals_leaves_room_for_sessions() {
        let (sessions, mut events) = Sessions::new();
        for _ in 0..10 * EVENT_BACKLOG {
            sessions.refuse("garbage".to_owned());
        }
        sessions.start();
        let told = told(&mut events);
        assert_eq!(told.last(), Some(&Event::SessionStarted { session: 1 }));
        assert_eq!(told.len(), EVENT_BACKLOG - ROOM_KEPT_FOR_SESSIONS + 1);
        assert_eq!(sessions.counts().2, 10 * EVENT_BACKLOG as u64);
    }
}

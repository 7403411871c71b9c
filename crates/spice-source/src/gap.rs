//! Protocol gaps: messages that no client knows, sent on request to those that report what they do not know.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What a gap's message holds, for whoever looks at it.
pub(crate) const BODY: &[u8] = b"a gap, sent on request";

/// The first opcode that may be asked for: those of every channel lie far below.
const LOWEST_OPCODE: u16 = 1000;
/// Where those begin that nobody asked for by number.
const FIRST_OPCODE: u16 = 60_000;

/// Gaps that wait on one channel at most.
const BACKLOG: usize = 64;

/// A channel that gaps can be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The session's first, which outlives the others.
    Main,
    /// Where draws go.
    Display,
    /// Keys and the pointer.
    Inputs,
    /// The pointer's shape.
    Cursor,
}

impl Channel {
    const ALL: [Self; 4] = [Self::Main, Self::Display, Self::Inputs, Self::Cursor];
    const COUNT: usize = Self::ALL.len();

    /// By the type that the protocol gives it.
    pub(crate) fn of_type(channel_type: u8) -> Option<Self> {
        match channel_type {
            1 => Some(Self::Main),
            2 => Some(Self::Display),
            3 => Some(Self::Inputs),
            4 => Some(Self::Cursor),
            _ => None,
        }
    }
}

/// A gap that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// On which channel.
    pub channel: Channel,
    /// The message's number.
    pub opcode: u16,
}

/// Why a gap cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GapError {
    /// Nobody is there to receive it.
    #[error(
        "no session has its {0:?} channel open: wait for session_started, and for the client to open its channels"
    )]
    NotOpen(Channel),
    /// A client knows that message.
    #[error("opcode {0} may be one that clients know: ask for {LOWEST_OPCODE} or more, or for none")]
    Known(u16),
    /// The client does not read.
    #[error("{BACKLOG} gaps wait on the {0:?} channel already")]
    Full(Channel),
}

/// Takes requests for gaps to the channels that are open.
#[derive(Debug)]
pub(crate) struct Gaps {
    open: Mutex<[Option<mpsc::Sender<u16>>; Channel::COUNT]>,
    next_opcode: AtomicU16,
    sent: AtomicU64,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            next_opcode: AtomicU16::new(FIRST_OPCODE),
            sent: AtomicU64::new(0),
        }
    }
}

impl Gaps {
    /// Opens a channel to requests. Of several, the one opened last gets them.
    pub(crate) fn open(&self, channel: Channel) -> Requests<'_> {
        let (sender, queue) = mpsc::channel(BACKLOG);
        self.senders()[channel as usize] = Some(sender);
        Requests { queue, gaps: self }
    }

    /// Asks for a gap, of a number that has not been used yet unless one is given.
    pub(crate) fn ask(&self, channel: Channel, opcode: Option<u16>) -> Result<Gap, GapError> {
        if let Some(opcode) = opcode.filter(|opcode| *opcode < LOWEST_OPCODE) {
            return Err(GapError::Known(opcode));
        }
        let senders = self.senders();
        let sender = senders[channel as usize]
            .as_ref()
            .ok_or(GapError::NotOpen(channel))?;
        let place = sender.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => GapError::Full(channel),
            mpsc::error::TrySendError::Closed(()) => GapError::NotOpen(channel),
        })?;
        let opcode = opcode.unwrap_or_else(|| self.fresh_opcode());
        place.send(opcode);
        Ok(Gap { channel, opcode })
    }

    /// The channels that gaps can be sent on now.
    pub(crate) fn open_channels(&self) -> Vec<Channel> {
        let senders = self.senders();
        let is_open = |channel: &Channel| {
            senders[*channel as usize]
                .as_ref()
                .is_some_and(|sender| !sender.is_closed())
        };
        Channel::ALL.into_iter().filter(is_open).collect()
    }

    /// How many gaps were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn fresh_opcode(&self) -> u16 {
        let next = |opcode: u16| Some(opcode.checked_add(1).unwrap_or(FIRST_OPCODE));
        self.next_opcode
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or(FIRST_OPCODE)
    }

    fn senders(&self) -> MutexGuard<'_, [Option<mpsc::Sender<u16>>; Channel::COUNT]> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one open channel is asked for.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    queue: mpsc::Receiver<u16>,
    gaps: &'a Gaps,
}

impl Requests<'_> {
    /// The next opcode to send. Waits for ever once another channel of the kind gets the requests. Cancel-safe.
    pub(crate) async fn next(&mut self) -> u16 {
        match self.queue.recv().await {
            Some(opcode) => opcode,
            None => std::future::pending().await,
        }
    }

    /// Counts one that was sent.
    pub(crate) fn count_sent(&self) {
        self.gaps.sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_channel_opened_last_is_asked() {
        let gaps = Gaps::default();
        assert_eq!(
            gaps.ask(Channel::Main, None),
            Err(GapError::NotOpen(Channel::Main))
        );
        let mut first = gaps.open(Channel::Main);
        gaps.ask(Channel::Main, Some(1000)).unwrap();
        let mut second = gaps.open(Channel::Main);
        gaps.ask(Channel::Main, Some(1001)).unwrap();
        assert_eq!(gaps.open_channels(), [Channel::Main]);
        assert_eq!((first.next().await, second.next().await), (1000, 1001));
        drop(second);
        assert_eq!(gaps.open_channels(), []);
        assert_eq!(
            gaps.ask(Channel::Main, None),
            Err(GapError::NotOpen(Channel::Main))
        );
        assert_eq!(
            gaps.ask(Channel::Display, None),
            Err(GapError::NotOpen(Channel::Display))
        );
    }

    #[test]
    fn numbers_are_fresh_unknown_and_never_too_many() {
        let gaps = Gaps::default();
        let _requests = gaps.open(Channel::Cursor);
        let opcodes: std::collections::HashSet<u16> = (0..BACKLOG)
            .map(|_| gaps.ask(Channel::Cursor, None).unwrap().opcode)
            .collect();
        assert_eq!(opcodes.len(), BACKLOG);
        assert_eq!(
            gaps.ask(Channel::Cursor, None),
            Err(GapError::Full(Channel::Cursor))
        );
        assert_eq!(gaps.ask(Channel::Cursor, Some(999)), Err(GapError::Known(999)));
    }

    #[test]
    fn fresh_numbers_never_run_out() {
        let gaps = Gaps {
            next_opcode: AtomicU16::new(u16::MAX),
            ..Gaps::default()
        };
        assert_eq!(
            (gaps.fresh_opcode(), gaps.fresh_opcode()),
            (u16::MAX, FIRST_OPCODE)
        );
    }
}

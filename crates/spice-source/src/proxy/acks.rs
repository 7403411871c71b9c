//! Keeps a server's flow control right although its client counts one message more for every gap.
//!
//! A client sends an ACK for every so many messages that it received, and a server that got one for messages that it has
//! not sent counts below zero: spice-server's counter is unsigned and it then sends nothing more
//! (`red_channel_client_waiting_for_ack` in red-channel-client). So an ACK that came early waits until the server has
//! sent as many messages by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The count of one connection.
#[derive(Debug, Default)]
pub(super) struct Acks {
    ledger: Mutex<Ledger>,
    due: Notify,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Messages for each ACK; 0 before the server has asked for any.
    window: u64,
    /// Since it did.
    sent_by_server: u64,
    gaps: u64,
    passed_on: u64,
    held: u64,
}

impl Ledger {
    fn is_due(&self) -> bool {
        self.gaps == 0 || (self.passed_on + 1) * self.window <= self.sent_by_server
    }
}

impl Acks {
    /// The server asked for an ACK every `window` messages: counting begins.
    pub(super) fn asked_for(&self, window: u32) {
        let mut ledger = self.ledger();
        // What was held was for the old count, which this ends.
        *ledger = Ledger {
            window: window.into(),
            held: ledger.held,
            ..Ledger::default()
        };
        drop(ledger);
        self.due.notify_one();
    }

    /// The server sent a message.
    pub(super) fn server_sent(&self) {
        let mut ledger = self.ledger();
        ledger.sent_by_server += 1;
        if ledger.held > 0 && ledger.is_due() {
            self.due.notify_one();
        }
    }

    /// A gap was put in.
    pub(super) fn gap_sent(&self) {
        self.ledger().gaps += 1;
    }

    /// The client sent an ACK. `true` when it may be passed on; otherwise it is held.
    pub(super) fn arrived(&self) -> bool {
        let mut ledger = self.ledger();
        if ledger.held == 0 && ledger.is_due() {
            ledger.passed_on += 1;
            return true;
        }
        ledger.held += 1;
        false
    }

    /// Waits until held ACKs are due, and takes them: so many are to be passed on. Cancel-safe.
    pub(super) async fn released(&self) -> u64 {
        loop {
            let released = self.release();
            if released > 0 {
                return released;
            }
            self.due.notified().await;
        }
    }

    fn release(&self) -> u64 {
        let mut ledger = self.ledger();
        let mut released = 0;
        while ledger.held > 0 && ledger.is_due() {
            ledger.held -= 1;
            ledger.passed_on += 1;
            released += 1;
        }
        released
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn released(acks: &Acks) -> Poll<u64> {
        std::pin::pin!(acks.released()).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn without_gaps_everything_passes() {
        let acks = Acks::default();
        assert!(acks.arrived());
        acks.asked_for(20);
        assert!(acks.arrived(), "as early as the client likes");
    }

    #[test]
    fn an_ack_that_a_gap_brought_early_waits_for_the_server() {
        let acks = Acks::default();
        acks.asked_for(20);
        (0..19).for_each(|_| acks.server_sent());
        acks.gap_sent();
        assert!(!acks.arrived());
        assert_eq!(released(&acks), Poll::Pending);
        acks.server_sent();
        assert_eq!(released(&acks), Poll::Ready(1));
        assert_eq!(released(&acks), Poll::Pending);
        (0..19).for_each(|_| acks.server_sent());
        assert!(!acks.arrived(), "the count stays one off");
        acks.server_sent();
        assert_eq!(released(&acks), Poll::Ready(1));
    }

    #[test]
    fn a_new_count_lets_go_of_what_was_held() {
        let acks = Acks::default();
        acks.asked_for(20);
        acks.gap_sent();
        assert!(!acks.arrived());
        acks.asked_for(20);
        assert_eq!(released(&acks), Poll::Ready(1));
    }
}

//! Flow control by acknowledgement, on top of what TCP does.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// How many messages a client may receive between two of its ACKs. Far more than spice-server's 20 to 40, or at high
/// rates it would be the round trips that set the pace.
pub(super) const WINDOW: u32 = 256;

/// How many messages may be on their way unacknowledged. Twice the window, as in spice-server, so that a client that
/// acknowledges in time never makes the server wait.
const MAX_OUTSTANDING: u32 = 2 * WINDOW;

/// The messages sent and not acknowledged: one task sends, another one hears the ACKs.
#[derive(Debug, Default)]
pub(super) struct AckWindow {
    outstanding: AtomicU32,
    acknowledged: Notify,
}

impl AckWindow {
    /// Waits until something may be sent, takes as much of `wanted` as may be sent, and returns how much that is.
    pub(super) async fn reserve(&self, wanted: u32) -> u32 {
        loop {
            let room = MAX_OUTSTANDING - self.outstanding.load(Ordering::Acquire);
            if room > 0 {
                let granted = wanted.min(room);
                self.outstanding.fetch_add(granted, Ordering::AcqRel);
                return granted;
            }
            self.acknowledged.notified().await;
        }
    }

    /// The client acknowledged a window's worth. One that acknowledges more than it was sent gains nothing by it.
    pub(super) fn acknowledge(&self) {
        let minus_window = |outstanding: u32| Some(outstanding.saturating_sub(WINDOW));
        let _ = self
            .outstanding
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, minus_window);
        self.acknowledged.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
        std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn sending_stops_at_two_windows_and_goes_on_with_an_ack() {
        let window = AckWindow::default();
        assert_eq!(poll_once(window.reserve(400)), Poll::Ready(400));
        assert_eq!(poll_once(window.reserve(400)), Poll::Ready(2 * WINDOW - 400));
        assert_eq!(poll_once(window.reserve(1)), Poll::Pending);
        window.acknowledge();
        assert_eq!(poll_once(window.reserve(1000)), Poll::Ready(WINDOW));
        assert_eq!(poll_once(window.reserve(1)), Poll::Pending);
    }

    #[tokio::test]
    async fn a_waiting_sender_is_woken() {
        let window = AckWindow::default();
        assert_eq!(window.reserve(MAX_OUTSTANDING).await, MAX_OUTSTANDING);
        let (granted, ()) = tokio::join!(window.reserve(1), async { window.acknowledge() });
        assert_eq!(granted, 1);
    }

    #[test]
    fn acks_out_of_the_blue_open_no_larger_window() {
        let window = AckWindow::default();
        for _ in 0..1000 {
            window.acknowledge();
        }
        assert_eq!(poll_once(window.reserve(u32::MAX)), Poll::Ready(MAX_OUTSTANDING));
        assert_eq!(poll_once(window.reserve(1)), Poll::Pending);
    }
}

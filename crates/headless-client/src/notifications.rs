//! Notable events of a session, as `notifications.json` lists them.

use std::collections::VecDeque;

use shakenfist_spice_protocol::NotifySeverity;
use shakenfist_spice_renderer::{NotificationEntry, NotificationSource};

/// Number of notifications kept. Newer ones replace the oldest.
const MAX_KEPT: usize = 500;

/// The longest message kept, in characters: servers write them, too.
const MAX_MESSAGE_CHARS: usize = 1024;

/// The newest notifications, oldest first. One that repeats is counted, not listed again.
#[derive(Debug, Default)]
pub struct Notifications {
    entries: VecDeque<NotificationEntry>,
    last_id: u64,
}

impl Notifications {
    /// Takes one in.
    pub fn push(&mut self, mut entry: NotificationEntry) {
        if let Some((end, _)) = entry.message.char_indices().nth(MAX_MESSAGE_CHARS) {
            entry.message.truncate(end);
        }
        let same = |known: &&mut NotificationEntry| {
            known.source == entry.source
                && known.severity == entry.severity
                && known.visibility == entry.visibility
                && known.message == entry.message
        };
        if let Some(known) = self.entries.iter_mut().rev().find(same) {
            known.count = known.count.saturating_add(1);
            known.when = entry.when;
            return;
        }
        self.last_id += 1;
        entry.id = self.last_id;
        if self.entries.len() == MAX_KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Takes in a warning of our own.
    pub fn warn(&mut self, source: NotificationSource, message: impl Into<String>) {
        self.push(NotificationEntry::new(NotifySeverity::Warn, source, message));
    }

    /// All that are kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<NotificationEntry> {
        self.entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_counted_and_keeps_its_id() {
        let mut notifications = Notifications::default();
        notifications.warn(NotificationSource::Gap, "display:hexdump:999");
        notifications.warn(NotificationSource::Connection, "cursor channel: closed");
        notifications.warn(NotificationSource::Gap, "display:hexdump:999");
        let listed: Vec<_> = notifications
            .entries()
            .into_iter()
            .map(|entry| (entry.id, entry.message, entry.count))
            .collect();
        assert_eq!(
            listed,
            [
                (1, "display:hexdump:999".to_owned(), 2),
                (2, "cursor channel: closed".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn a_talkative_server_fills_no_memory() {
        let mut notifications = Notifications::default();
        for number in 0..3 * MAX_KEPT {
            notifications.warn(
                NotificationSource::Internal,
                format!("{number}{}", "ü".repeat(100_000)),
            );
        }
        let entries = notifications.entries();
        assert_eq!(entries.len(), MAX_KEPT);
        assert!(
            entries
                .iter()
                .all(|entry| entry.message.chars().count() == MAX_MESSAGE_CHARS)
        );
        assert!(entries[0].message.starts_with(&format!("{}ü", 2 * MAX_KEPT)));
    }
}

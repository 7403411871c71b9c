//! Triggers of reports besides the control socket: protocol gaps, the interval and SIGUSR1.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shakenfist_spice_protocol::logging::register_gap_observer;
use shakenfist_spice_renderer::NotificationSource;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::report::{ReportType, Trigger};
use crate::reporter::{DEFAULT_WINDOW, Reporter};
use crate::session::Session;

/// The most reports of protocol gaps in one session, so that a server cannot fill the disk.
pub const MAX_GAP_REPORTS: usize = 50;

/// Reports of gaps that are measured at a time. Each holds a thread for the length of its window, and a screenshot.
const MAX_CONCURRENT_GAP_REPORTS: usize = 8;

/// A trigger for each protocol gap, once for each kind. Each gap is a notification of the session, too.
///
/// The protocol crate tells observers of the whole process and may tell them twice. It knows some hundred gaps at most.
pub fn watch_gaps(session: &Arc<Session>) -> mpsc::Receiver<Trigger> {
    let (found, gaps) = mpsc::channel(MAX_GAP_REPORTS);
    let seen = Mutex::new(HashSet::new());
    let session = Arc::clone(session);
    register_gap_observer(Arc::new(move |gap| {
        if seen.lock().unwrap_or_else(PoisonError::into_inner).insert(gap) {
            session.warn(NotificationSource::Gap, gap);
            // Full or closed: there are enough reports, or none are wanted.
            let _ = found.try_send(Trigger::now(ReportType::Gap, Some(format!("protocol gap {gap}"))));
        }
    }));
    gaps
}

/// Files a report of each gap, until there are enough.
pub async fn report_gaps(reporter: Arc<Reporter>, mut gaps: mpsc::Receiver<Trigger>) {
    let mut under_way = JoinSet::new();
    for _ in 0..MAX_GAP_REPORTS {
        let Some(trigger) = gaps.recv().await else { break };
        if under_way.len() == MAX_CONCURRENT_GAP_REPORTS {
            under_way.join_next().await;
        }
        let reporter = Arc::clone(&reporter);
        // A failure has been told by the reporter.
        under_way.spawn(async move { reporter.file(trigger, DEFAULT_WINDOW).await.map(drop) });
    }
    under_way.join_all().await;
}

/// Files a report every so often once the session shows a surface, and keeps the newest.
pub async fn report_at_intervals(reporter: Arc<Reporter>, interval: Duration, kept: usize) {
    reporter.session.surface_shown().await;
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut filed = VecDeque::new();
    loop {
        ticks.tick().await;
        let trigger = Trigger::now(ReportType::Interval, None);
        if let Ok(report) = reporter.file(trigger, DEFAULT_WINDOW).await {
            filed.push_back(report.path);
            remove_oldest(&mut filed, kept);
        }
    }
}

/// Only of this client's own: what others left in the directory is theirs.
fn remove_oldest(filed: &mut VecDeque<PathBuf>, kept: usize) {
    while filed.len() > kept {
        let Some(oldest) = filed.pop_front() else { return };
        match fs::remove_file(&oldest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", oldest.display());
            }
            _ => {}
        }
    }
}

/// Listens for SIGUSR1 from now on; the future files a report each time. Signals that arrive while one is being filed
/// count as one.
///
/// # Errors
///
/// When the system does not let it listen.
pub fn report_on_signal(reporter: Arc<Reporter>) -> io::Result<impl Future<Output = ()>> {
    let mut signals = signal(SignalKind::user_defined1())?;
    Ok(async move {
        while signals.recv().await.is_some() {
            // A failure has been told by the reporter.
            let _ = reporter
                .file(Trigger::now(ReportType::Signal, None), DEFAULT_WINDOW)
                .await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_of_its_own_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["others.zip", "1.zip", "2.zip", "3.zip"]
            .map(|name| dir.path().join(name))
            .into();
        for path in &paths {
            fs::write(path, "").unwrap();
        }
        let mut filed: VecDeque<_> = paths[1..].iter().cloned().collect();
        filed.push_front(dir.path().join("taken away.zip"));
        remove_oldest(&mut filed, 2);
        let left: Vec<_> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(filed.len(), 2);
    }
}

//! Which reports are of one session, and when each was taken: by their own stamps, as nobody watched.

use jiff::Timestamp;

use super::SubmittedReport;

/// When a report was triggered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamp {
    /// Seconds since 1970.
    pub(super) unix_secs: f64,
    /// The stamp is cut off to this; and uptime was read up to a window later.
    pub(super) within_secs: f64,
}

impl Stamp {
    pub(super) fn of(sent: &SubmittedReport) -> Option<Self> {
        // ryll's `triggered_at` is when its dialog was opened; it samples at the `timestamp`, when the report is submitted.
        let submitted = sent.metadata()["timestamp"].as_str();
        let text = submitted.or(sent.metadata()["triggered_at"].as_str())?;
        let at: Timestamp = text.parse().ok()?;
        let resolution = if text.contains('.') { 0.0 } else { 1.0 };
        let window_ms = sent.metrics["sample_window_ms"].as_f64().unwrap_or(0.0);
        // No client samples for longer: a claim beyond that would excuse any figure.
        const LONGEST_MS: f64 = 60_000.0;
        let window_secs = window_ms.clamp(0.0, LONGEST_MS) / 1000.0;
        Some(Self {
            unix_secs: at.as_duration().as_secs_f64(),
            within_secs: resolution + window_secs,
        })
    }
}

/// The reports of each session, in the order in which they were taken; sessions in the order in which they came.
pub(crate) fn sessions(sent: Vec<SubmittedReport>) -> Vec<Vec<SubmittedReport>> {
    let mut sessions: Vec<Vec<SubmittedReport>> = Vec::new();
    for report in sent {
        match sessions.iter_mut().find(|session| same(&session[0], &report)) {
            Some(session) => session.push(report),
            None => sessions.push(vec![report]),
        }
    }
    for session in &mut sessions {
        // Windows overlap, and uptime is read at their ends.
        let ends: Option<Vec<u64>> = session.iter().map(SubmittedReport::window_end_ns).collect();
        if ends.is_some() {
            session.sort_by_key(SubmittedReport::window_end_ns);
        } else {
            let at = |sent: &SubmittedReport| Stamp::of(sent).map_or(0.0, |stamp| stamp.unix_secs);
            session.sort_by(|a, b| at(a).total_cmp(&at(b)));
        }
    }
    sessions
}

/// Whether two reports name one target and one process, as far as they name any, and their sessions began at one time.
fn same(a: &SubmittedReport, b: &SubmittedReport) -> bool {
    let agree = |key: &str| a.metadata()[key] == b.metadata()[key];
    let named = !a.metadata()["target"].is_null();
    let (Some(first), Some(second)) = (began(a), began(b)) else {
        return false;
    };
    let apart = (first.unix_secs - second.unix_secs).abs();
    named
        && agree("target")
        && agree("pid")
        && a.platform() == b.platform()
        && apart <= first.within_secs + second.within_secs
}

/// When the report's session began.
fn began(sent: &SubmittedReport) -> Option<Stamp> {
    let stamp = Stamp::of(sent)?;
    let uptime = sent.metadata()["session_uptime_secs"].as_f64()?;
    Some(Stamp {
        unix_secs: stamp.unix_secs - uptime,
        ..stamp
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::submitted::tests::sent;

    fn report(label: &str, at: &str, session_secs: f64, target: &str) -> SubmittedReport {
        let metadata = json!({"triggered_at": at, "session_uptime_secs": session_secs, "target": target});
        sent(label, metadata, json!({"sample_window_ms": 1000}))
    }

    fn labels(sessions: &[Vec<SubmittedReport>]) -> Vec<Vec<&str>> {
        sessions
            .iter()
            .map(|session| session.iter().map(|sent| sent.label.as_str()).collect())
            .collect()
    }

    #[test]
    fn reports_of_one_session_come_together_and_in_order() {
        let sessions = sessions(vec![
            report("late", "2026-11-22T19:42:50Z", 62.9, "a:1"),
            report("elsewhere", "2026-11-22T19:42:50Z", 62.9, "b:1"),
            report("early", "2026-11-22T19:41:50Z", 2.2, "a:1"),
            report("another", "2026-11-22T19:50:50Z", 2.2, "a:1"),
        ]);
        assert_eq!(
            labels(&sessions),
            [vec!["early", "late"], vec!["elsewhere"], vec!["another"]]
        );
    }

    #[test]
    fn what_does_not_tell_its_session_stands_alone() {
        let silent = || sent("x", Value::Null, json!({}));
        assert_eq!(sessions(vec![silent(), silent()]).len(), 2);
        let no_target = || {
            sent(
                "x",
                json!({"triggered_at": "2026-11-22T19:42:50Z", "session_uptime_secs": 1}),
                json!({}),
            )
        };
        assert_eq!(sessions(vec![no_target(), no_target()]).len(), 2);
    }

    #[test]
    fn a_stamp_is_as_fine_as_it_is_written() {
        let within = |at: &str, window: Value| {
            let report = sent(
                "x",
                json!({"triggered_at": at}),
                json!({"sample_window_ms": window}),
            );
            Stamp::of(&report).map(|stamp| stamp.within_secs)
        };
        assert_eq!(within("2026-11-22T19:42:50Z", json!(2000)), Some(3.0));
        assert_eq!(within("2026-11-22T19:42:50.123456789Z", json!(500)), Some(0.5));
        assert_eq!(within("2026-11-22T19:42:50Z", json!(1e300)), Some(61.0));
        assert_eq!(within("2026-11-22T19:42:50Z", json!(-5)), Some(1.0));
        assert_eq!(within("yesterday", json!(2000)), None);
    }
}

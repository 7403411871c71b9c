//! Two snapshots make a report: the arithmetic, free of platforms.
//!
//! Snapshots and reports are filled again and again; filling one that is large enough allocates nothing but the
//! reasons of what could not be read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::name::Name;
use crate::report::{ProcessMetrics, ProcessReport, ThreadMetrics};

/// A figure, or why it could not be read.
pub(crate) type Reading<T> = Result<T, String>;

/// A CPU clock and the moment it was read. Both in ns; `at_ns` counts from an arbitrary origin that all readings
/// of one process share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuReading {
    pub(crate) cpu_ns: u64,
    pub(crate) at_ns: u64,
}

/// One living thread.
#[derive(Debug, Clone)]
pub(crate) struct ThreadReading {
    pub(crate) tid: u64,
    pub(crate) cpu: Reading<CpuReading>,
    /// `None` in the first snapshot: only the end of a window needs names.
    pub(crate) name: Option<Reading<Name>>,
}

/// The clocks at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Just before the threads were listed, on the readings' clock: a thread that is not among them is younger.
    pub(crate) listed_at_ns: u64,
    /// Ascending by tid, each once: see [`Self::sort_by_tid`].
    pub(crate) threads: Vec<ThreadReading>,
    /// Read *after* the threads' clocks, so that it never lags behind their sum.
    pub(crate) process_cpu: Reading<CpuReading>,
    /// Maximal lag of a running thread's CPU clock; 0 if it never lags.
    pub(crate) cpu_lag_ns: u64,
}

/// Figures that are read only at the end of the window.
#[derive(Debug, Clone)]
pub(crate) struct EndReadings {
    pub(crate) rss_kb: Reading<u64>,
    pub(crate) vm_size_kb: Reading<u64>,
    /// `None` where the platform has no such notion.
    pub(crate) footprint_kb: Option<Reading<u64>>,
    /// Since `init_at_startup`.
    pub(crate) uptime: Reading<Duration>,
}

impl Snapshot {
    /// Nothing read yet.
    pub(crate) const fn empty() -> Self {
        Self {
            listed_at_ns: 0,
            threads: Vec::new(),
            process_cpu: Err(String::new()),
            cpu_lag_ns: 0,
        }
    }

    /// Sorts threads that were listed in any order, and keeps one of each tid.
    #[allow(dead_code, reason = "some platforms list threads in order")]
    pub(crate) fn sort_by_tid(&mut self) {
        self.threads.sort_unstable_by_key(|thread| thread.tid);
        self.threads.dedup_by_key(|thread| thread.tid);
    }

    /// The time of the snapshot: the process clock's stamp, or else the latest of the threads'.
    fn taken_at_ns(&self) -> Option<u64> {
        let threads = || {
            self.threads
                .iter()
                .filter_map(|t| t.cpu.as_ref().ok())
                .map(|cpu| cpu.at_ns)
                .max()
        };
        self.process_cpu
            .as_ref()
            .ok()
            .map(|cpu| cpu.at_ns)
            .or_else(threads)
    }
}

/// Fills the report with the changes between two snapshots. Fails only if the window itself cannot be measured; the
/// report's content is unspecified then.
pub(crate) fn report_between(
    before: &Snapshot,
    after: &Snapshot,
    end_readings: EndReadings,
    asked: Duration,
    report: &mut ProcessReport,
) -> Result<(), String> {
    let window_ns = match (before.taken_at_ns(), after.taken_at_ns()) {
        (Some(start), Some(end)) if end > start => end - start,
        (Some(_), Some(_)) => return Err("the monotonic clock did not move between the snapshots".to_owned()),
        _ => return Err("no CPU clock of the process could be read".to_owned()),
    };
    report.sample_window_ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
    report.measured_window_ms = window_ns as f64 / 1e6;
    report.missing.clear();
    let mut missing = Missing(&mut report.missing);

    let lag_ns = before.cpu_lag_ns.max(after.cpu_lag_ns);
    let process_cpu = both(&before.process_cpu, &after.process_cpu)
        .and_then(|(start, end)| process_percent(start, end, lag_ns));
    report.process = ProcessMetrics {
        cpu_percent: missing.unless(process_cpu, || "process.cpu_percent".to_owned()),
        rss_kb: missing.unless(end_readings.rss_kb, || "process.rss_kb".to_owned()),
        vm_size_kb: missing.unless(end_readings.vm_size_kb, || "process.vm_size_kb".to_owned()),
        footprint_kb: end_readings
            .footprint_kb
            .and_then(|footprint| missing.unless(footprint, || "process.footprint_kb".to_owned())),
        uptime_secs: missing
            .unless(end_readings.uptime, || "process.uptime_secs".to_owned())
            .map(|uptime| uptime.as_secs_f64()),
    };

    report
        .threads
        .resize_with(after.threads.len(), ThreadMetrics::empty);
    let mut earlier = before.threads.iter().peekable();
    for (ThreadReading { tid, cpu, name }, thread) in after.threads.iter().zip(&mut report.threads) {
        while earlier.next_if(|earlier| earlier.tid < *tid).is_some() {}
        let earlier = earlier.next_if(|earlier| earlier.tid == *tid);
        let cpu = cpu.as_ref().map_err(Clone::clone).and_then(|now| {
            thread_percent(
                earlier.map(|earlier| &earlier.cpu),
                *now,
                before.listed_at_ns,
                lag_ns,
            )
        });
        thread.tid = *tid;
        thread.cpu_percent = missing.unless(cpu, || format!("threads.{tid}.cpu_percent"));
        match name {
            Some(Ok(name)) => name.write_to(thread.name.get_or_insert_default()),
            unnamed => {
                let why = unnamed.clone().and_then(Result::err);
                let why = why.unwrap_or_else(|| "nobody asked for it".to_owned());
                thread.name = missing.unless(Err(why), || format!("threads.{tid}.name"));
            }
        }
    }
    Ok(())
}

fn process_percent(start: CpuReading, end: CpuReading, lag_ns: u64) -> Reading<f64> {
    long_enough(start, end, lag_ns)?;
    percent(start, end).ok_or_else(|| "the process's CPU clock went backwards".to_owned())
}

/// The most that a thread can have used of the time since it was born, in percent. It is one core; the rest is
/// room for the moment between the reading of a clock and its stamp.
const MAX_PERCENT_SINCE_BIRTH: f64 = 105.0;

/// A thread's share of the window.
///
/// A thread that the earlier snapshot does not know was born after it; so was one whose clock went backwards,
/// because only a recycled tid does that. Both are charged their whole clock since the earlier snapshot began.
fn thread_percent(
    earlier: Option<&Reading<CpuReading>>,
    now: CpuReading,
    listed_at_ns: u64,
    lag_ns: u64,
) -> Reading<f64> {
    let known = match earlier {
        Some(Err(reason)) => return Err(format!("at the start of the window: {reason}")),
        Some(Ok(earlier)) if earlier.cpu_ns <= now.cpu_ns => Some(*earlier),
        Some(Ok(_)) | None => None,
    };
    let start = known.unwrap_or(CpuReading {
        cpu_ns: 0,
        at_ns: listed_at_ns,
    });
    long_enough(start, now, lag_ns)?;
    match percent(start, now) {
        None => Err("the monotonic clock did not move between the thread's readings".to_owned()),
        Some(share) if known.is_none() && share > MAX_PERCENT_SINCE_BIRTH => Err(
            "not seen at the start of the window, yet with more CPU time than the window is long".to_owned(),
        ),
        Some(share) => Ok(share),
    }
}

/// Refuses a window that a lagging clock says nothing about: its figure would be off by more than 10 points, and
/// a busy thread could read 0 or several cores.
fn long_enough(start: CpuReading, end: CpuReading, lag_ns: u64) -> Reading<()> {
    if end.at_ns.saturating_sub(start.at_ns) < lag_ns.saturating_mul(10) {
        let lag_ms = lag_ns as f64 / 1e6;
        return Err(format!(
            "the window is too short for a CPU clock that lags by up to {lag_ms} ms"
        ));
    }
    Ok(())
}

/// CPU time per wall time in percent; `None` when either clock went backwards or time stood still.
fn percent(start: CpuReading, end: CpuReading) -> Option<f64> {
    let cpu = end.cpu_ns.checked_sub(start.cpu_ns)?;
    let wall = end.at_ns.checked_sub(start.at_ns).filter(|wall| *wall > 0)?;
    Some(cpu as f64 * 100.0 / wall as f64)
}

fn both(before: &Reading<CpuReading>, after: &Reading<CpuReading>) -> Reading<(CpuReading, CpuReading)> {
    let start = before
        .as_ref()
        .map_err(|reason| format!("at the start of the window: {reason}"))?;
    let end = after.as_ref().map_err(Clone::clone)?;
    Ok((*start, *end))
}

/// Collects the reasons of what could not be read.
struct Missing<'r>(&'r mut BTreeMap<String, String>);

impl Missing<'_> {
    fn unless<T>(&mut self, reading: Reading<T>, path: impl FnOnce() -> String) -> Option<T> {
        reading.map_err(|reason| drop(self.0.insert(path(), reason))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn cpu(cpu_ns: u64, at_ns: u64) -> Reading<CpuReading> {
        Ok(CpuReading { cpu_ns, at_ns })
    }

    fn thread(tid: u64, cpu: Reading<CpuReading>) -> ThreadReading {
        let name = Some(Ok(Name::new(format!("t{tid}").as_bytes())));
        ThreadReading { tid, cpu, name }
    }

    fn snapshot(process_cpu: Reading<CpuReading>, threads: Vec<ThreadReading>) -> Snapshot {
        Snapshot {
            listed_at_ns: 0,
            threads,
            process_cpu,
            cpu_lag_ns: 0,
        }
    }

    fn end_readings() -> EndReadings {
        EndReadings {
            rss_kb: Ok(100),
            vm_size_kb: Ok(200),
            footprint_kb: None,
            uptime: Ok(Duration::from_secs(5)),
        }
    }

    fn report(before: Snapshot, after: Snapshot) -> ProcessReport {
        let mut report = ProcessReport::empty();
        report_between(
            &before,
            &after,
            end_readings(),
            Duration::from_secs(2),
            &mut report,
        )
        .expect("a report");
        report
    }

    fn percents(report: &ProcessReport) -> Vec<(u64, Option<f64>)> {
        report.threads.iter().map(|t| (t.tid, t.cpu_percent)).collect()
    }

    #[test]
    fn percentages_are_of_the_measured_window_not_the_asked_one() {
        let after = snapshot(
            cpu(4 * SECOND, 4 * SECOND),
            vec![thread(7, cpu(3 * SECOND, 4 * SECOND))],
        );
        let report = report(snapshot(cpu(0, 0), vec![thread(7, cpu(SECOND, 0))]), after);
        assert_eq!(report.sample_window_ms, 2000);
        assert_eq!(report.measured_window_ms, 4000.0);
        assert_eq!(report.process.cpu_percent, Some(100.0));
        assert_eq!(percents(&report), [(7, Some(50.0))]);
    }

    #[test]
    fn each_thread_is_charged_over_its_own_stamps() {
        let before = snapshot(cpu(0, 100), vec![thread(1, cpu(0, 0)), thread(2, cpu(0, 50))]);
        let after = snapshot(
            cpu(150, 200),
            vec![thread(1, cpu(100, 100)), thread(2, cpu(50, 150))],
        );
        assert_eq!(
            percents(&report(before, after)),
            [(1, Some(100.0)), (2, Some(50.0))]
        );
    }

    #[test]
    fn threads_born_in_the_window_or_with_a_recycled_tid_are_charged_their_whole_clock() {
        let before = snapshot(cpu(0, 0), vec![thread(1, cpu(90, 0)), thread(2, cpu(5, 0))]);
        let after = snapshot(
            cpu(60, 100),
            vec![thread(1, cpu(20, 100)), thread(3, cpu(40, 100))],
        );
        assert_eq!(
            percents(&report(before, after)),
            [(1, Some(20.0)), (3, Some(40.0))],
            "ascending, without the dead thread 2"
        );
    }

    #[test]
    fn a_thread_born_before_the_first_clock_was_read_is_charged_since_the_listing() {
        let before = Snapshot {
            listed_at_ns: 100,
            ..snapshot(cpu(0, 190), vec![])
        };
        let after = snapshot(cpu(0, 210), vec![thread(1, cpu(50, 200))]);
        assert_eq!(
            percents(&report(before, after)),
            [(1, Some(50.0))],
            "not 250 % of the 20 ns window"
        );
    }

    #[test]
    fn an_old_thread_that_the_first_listing_missed_has_no_figure() {
        let after = snapshot(
            cpu(0, 100),
            vec![thread(1, cpu(104, 100)), thread(2, cpu(106, 100))],
        );
        let report = report(snapshot(cpu(0, 0), vec![]), after);
        assert_eq!(percents(&report), [(1, Some(104.0)), (2, None)]);
        assert!(report.missing["threads.2.cpu_percent"].contains("more CPU time than the window"));
    }

    #[test]
    fn a_lagging_clock_yields_no_figure_for_a_short_window() {
        let lagging = |at: u64| Snapshot {
            cpu_lag_ns: 10_000_000,
            ..snapshot(cpu(at, at), vec![thread(1, cpu(at / 2, at))])
        };
        let long = report(lagging(0), lagging(100_000_000));
        assert_eq!(
            (long.process.cpu_percent, percents(&long)),
            (Some(100.0), vec![(1, Some(50.0))])
        );
        let short = report(lagging(0), lagging(99_999_999));
        assert_eq!(
            (short.process.cpu_percent, percents(&short)),
            (None, vec![(1, None)])
        );
        for path in ["process.cpu_percent", "threads.1.cpu_percent"] {
            assert!(short.missing[path].contains("lags by up to 10 ms"), "{path}");
        }
    }

    #[test]
    fn duplicates_and_disorder_come_out_once_and_ascending() {
        let mut after = snapshot(
            cpu(0, 100),
            vec![
                thread(9, cpu(2, 100)),
                thread(3, cpu(1, 100)),
                thread(9, cpu(2, 100)),
            ],
        );
        after.sort_by_tid();
        let report = report(snapshot(cpu(0, 0), vec![]), after);
        assert_eq!(percents(&report), [(3, Some(1.0)), (9, Some(2.0))]);
    }

    #[test]
    fn nothing_of_an_earlier_report_stays_in_one_that_is_filled_again() {
        let at = |ns, threads| snapshot(cpu(ns, ns), threads);
        let mut report = ProcessReport::empty();
        let mut fill = |before: &Snapshot, after: &Snapshot, end_readings| {
            report_between(before, after, end_readings, Duration::from_secs(1), &mut report)
                .expect("a report");
            report.clone()
        };
        let nameless = ThreadReading {
            name: Some(Err("no comm".to_owned())),
            ..thread(1, Err("refused".to_owned()))
        };
        let refused = EndReadings {
            rss_kb: Err("no statm".to_owned()),
            footprint_kb: Some(Ok(1)),
            ..end_readings()
        };
        let many = at(100, vec![nameless, thread(2, cpu(9, 90)), thread(30, cpu(9, 90))]);
        let first = fill(&at(0, vec![]), &many, refused);
        assert_eq!((first.threads.len(), first.missing.len()), (3, 3));

        let later = at(200, vec![thread(1, cpu(10, 190)), thread(4, cpu(20, 190))]);
        let again = fill(&at(100, vec![thread(1, cpu(0, 90))]), &later, end_readings());
        let mut fresh = ProcessReport::empty();
        let start = at(100, vec![thread(1, cpu(0, 90))]);
        report_between(&start, &later, end_readings(), Duration::from_secs(1), &mut fresh).expect("a report");
        assert_eq!(again, fresh);
        let names: Vec<_> = again
            .threads
            .iter()
            .map(|thread| thread.name.as_deref())
            .collect();
        assert_eq!(names, [Some("t1"), Some("t4")]);
    }

    #[test]
    fn what_could_not_be_read_is_absent_and_named() {
        let refused = || Err("refused".to_owned());
        let mut before = snapshot(cpu(0, 0), vec![thread(1, refused()), thread(2, cpu(0, 0))]);
        before.process_cpu = refused();
        let mut after = snapshot(cpu(10, 100), vec![thread(1, cpu(9, 100)), thread(2, cpu(1, 100))]);
        after.threads[1].name = Some(Err("no comm".to_owned()));
        let end_readings = EndReadings {
            rss_kb: Err("no statm".to_owned()),
            vm_size_kb: Err("no statm".to_owned()),
            footprint_kb: Some(Err("flavor refused".to_owned())),
            uptime: Err("never started".to_owned()),
        };
        let mut report = ProcessReport::empty();
        report_between(&before, &after, end_readings, Duration::ZERO, &mut report).expect("a report");
        let expected = [
            ("process.cpu_percent", "at the start of the window: refused"),
            ("process.footprint_kb", "flavor refused"),
            ("process.rss_kb", "no statm"),
            ("process.uptime_secs", "never started"),
            ("process.vm_size_kb", "no statm"),
            ("threads.1.cpu_percent", "at the start of the window: refused"),
            ("threads.2.name", "no comm"),
        ];
        let named: Vec<_> = report
            .missing
            .iter()
            .map(|(path, why)| (path.as_str(), why.as_str()))
            .collect();
        assert_eq!(named, expected);
        assert_eq!(report.process, ProcessMetrics::default());
        assert_eq!(
            (&report.threads[0].cpu_percent, &report.threads[1].name),
            (&None, &None)
        );
    }

    #[test]
    fn a_clock_that_does_not_move_or_cannot_be_read_yields_no_report() {
        let still = |at| snapshot(cpu(1, at), vec![]);
        for (before, after, reason) in [
            (still(5), still(5), "did not move"),
            (still(6), still(5), "did not move"),
            (snapshot(Err(String::new()), vec![]), still(5), "no CPU clock"),
        ] {
            let mut report = ProcessReport::empty();
            let error = report_between(&before, &after, end_readings(), Duration::ZERO, &mut report)
                .expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_process_clock_that_runs_backwards_is_missing_not_negative() {
        let report = report(snapshot(cpu(50, 0), vec![]), snapshot(cpu(40, 100), vec![]));
        assert_eq!(report.process.cpu_percent, None);
        assert!(report.missing["process.cpu_percent"].contains("backwards"));
    }
}

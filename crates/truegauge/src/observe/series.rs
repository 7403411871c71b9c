//! Readings over time, and the window that is cut out of them: pure arithmetic.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Readings kept: more than a quarter of an hour of clocks.
const KEPT: usize = 200_000;

/// The process's CPU clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockReading {
    pub(super) at_ns: u64,
    pub(super) cpu_ns: u64,
}

/// Memory and tasks at one moment.
#[derive(Debug, Clone)]
pub(super) struct DetailReading {
    pub(super) at_ns: u64,
    pub(super) resident_kb: u64,
    pub(super) virtual_kb: u64,
    pub(super) footprint_kb: Option<u64>,
    /// Names in use in the task's port name space; only macOS has them.
    pub(super) port_names: Option<u32>,
    pub(super) tasks: Vec<TaskReading>,
}

/// One task at one moment; `cpu_ns` is absent where the kernel gives no clock for it.
#[derive(Debug, Clone)]
pub(super) struct TaskReading {
    pub(super) tid: u64,
    pub(super) name: String,
    pub(super) cpu_ns: Option<u64>,
}

/// A stretch of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

/// A window of which is known how long it is and between which moments it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowBounds {
    /// It begins no earlier.
    pub(crate) earliest_ns: u64,
    /// It ends no later.
    pub(crate) latest_ns: u64,
    pub(crate) length_ns: u64,
}

impl WindowBounds {
    /// How many places for the window are looked at: more than any that differ by what a core does in a millisecond.
    const PLACES: u64 = 64;

    /// How far its middle place is from the outermost.
    fn uncertainty_ns(self) -> u64 {
        (self.latest_ns - self.earliest_ns).saturating_sub(self.length_ns) / 2
    }

    fn at(self, start_ns: u64) -> Window {
        Window {
            start_ns,
            end_ns: start_ns + self.length_ns,
        }
    }

    fn middle(self) -> Window {
        self.at(self.earliest_ns + self.uncertainty_ns())
    }

    /// Places spread over all that is possible, both ends among them.
    fn places(self) -> impl Iterator<Item = Window> {
        let room = 2 * self.uncertainty_ns();
        (0..=Self::PLACES).map(move |place| self.at(self.earliest_ns + room * place / Self::PLACES))
    }
}

/// What was seen over a window, as it stands in the evidence.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Observation {
    window: ObservedWindow,
    pub(crate) cpu_percent: f64,
    cpu_resolution_points: f64,
    /// The part of it that is due to a window whose place is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_uncertainty_points: Option<f64>,
    resident_kb: u64,
    virtual_kb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    footprint_kb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_names: Option<u32>,
    tasks: Vec<ObservedTask>,
}

#[derive(Debug, Clone, Serialize)]
struct ObservedWindow {
    start_monotonic_ns: u64,
    end_monotonic_ns: u64,
    largest_gap_ms: f64,
    /// How far the place of the window may be off, where it was found from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertainty_ms: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct ObservedTask {
    tid: u64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    whole_window: bool,
}

/// The newest readings.
#[derive(Debug, Default)]
pub(super) struct Series {
    clocks: VecDeque<ClockReading>,
    details: VecDeque<DetailReading>,
}

impl Series {
    pub(super) fn push_clock(&mut self, reading: ClockReading) {
        push_bounded(&mut self.clocks, reading, KEPT);
    }

    pub(super) fn push_detail(&mut self, reading: DetailReading) {
        push_bounded(&mut self.details, reading, KEPT / 10);
    }

    /// Whether clocks and details both go beyond a moment.
    pub(super) fn reaches(&self, moment_ns: u64) -> bool {
        let beyond = |at_ns: Option<u64>| at_ns.is_some_and(|at_ns| at_ns >= moment_ns);
        beyond(self.clocks.back().map(|last| last.at_ns))
            && beyond(self.details.back().map(|last| last.at_ns))
    }

    pub(super) fn over(&self, window: Window) -> Result<Observation, String> {
        if window.end_ns <= window.start_ns {
            return Err("the window is empty".to_owned());
        }
        let clocks = bracket(&self.clocks, window, |reading| reading.at_ns)?;
        let (start, start_slack) = interpolate(&clocks, window.start_ns);
        let (end, end_slack) = interpolate(&clocks, window.end_ns);
        let span = (window.end_ns - window.start_ns) as f64;
        let gaps = clocks
            .iter()
            .zip(clocks.iter().skip(1))
            .map(|(a, b)| b.at_ns - a.at_ns);

        let details = bracket(&self.details, window, |reading| reading.at_ns)?;
        let memory = details
            .iter()
            .min_by_key(|reading| reading.at_ns.abs_diff(window.end_ns))
            .ok_or("no reading of the memory")?;
        Ok(Observation {
            window: ObservedWindow {
                start_monotonic_ns: window.start_ns,
                end_monotonic_ns: window.end_ns,
                largest_gap_ms: gaps.max().unwrap_or(0) as f64 / 1e6,
                uncertainty_ms: None,
            },
            cpu_percent: (end - start) * 100.0 / span,
            cpu_resolution_points: (start_slack + end_slack) * 100.0 / span,
            cpu_uncertainty_points: None,
            resident_kb: memory.resident_kb,
            virtual_kb: memory.virtual_kb,
            footprint_kb: memory.footprint_kb,
            port_names: memory.port_names,
            tasks: tasks_over(&details, window),
        })
    }
}

impl Series {
    /// What was seen over a window whose place is not known: over its middle place, and how far the others differ from
    /// that, the process's CPU or any one task's, added to the resolution.
    pub(super) fn between(&self, between: WindowBounds) -> Result<Observation, String> {
        if between.latest_ns.saturating_sub(between.earliest_ns) < between.length_ns {
            return Err("the window is longer than the time in which it must lie".to_owned());
        }
        let mut observation = self.over(between.middle())?;
        let mut uncertainty = 0.0_f64;
        let mut seen: BTreeMap<u64, ObservedTask> = BTreeMap::new();
        for place in between.places() {
            let other = self.over(place)?;
            uncertainty = uncertainty.max((other.cpu_percent - observation.cpu_percent).abs());
            for task in other.tasks {
                let middle = observation.tasks.iter().find(|known| known.tid == task.tid);
                if let (Some(here), Some(there)) =
                    (task.cpu_percent, middle.and_then(|task| task.cpu_percent))
                {
                    uncertainty = uncertainty.max((here - there).abs());
                }
                let everywhere = task.whole_window;
                seen.entry(task.tid)
                    .and_modify(|known| known.whole_window &= everywhere)
                    .or_insert(task);
            }
        }
        // A task of any place may be listed; only one that was there throughout all of them must be.
        for task in &mut observation.tasks {
            if let Some(known) = seen.remove(&task.tid) {
                task.whole_window &= known.whole_window;
            }
        }
        observation
            .tasks
            .extend(seen.into_values().map(|task| ObservedTask {
                whole_window: false,
                ..task
            }));
        observation.tasks.sort_by_key(|task| task.tid);
        observation.cpu_resolution_points += uncertainty;
        observation.cpu_uncertainty_points = Some(uncertainty);
        observation.window.uncertainty_ms = Some(between.uncertainty_ns() as f64 / 1e6);
        Ok(observation)
    }
}

fn push_bounded<T>(readings: &mut VecDeque<T>, reading: T, kept: usize) {
    if readings.len() == kept {
        readings.pop_front();
    }
    readings.push_back(reading);
}

/// The readings inside the window, with the last before it and the first after it.
fn bracket<T>(readings: &VecDeque<T>, window: Window, at: impl Fn(&T) -> u64) -> Result<Vec<&T>, String> {
    let first = readings.partition_point(|reading| at(reading) <= window.start_ns);
    let after = readings.partition_point(|reading| at(reading) < window.end_ns);
    if first == 0 {
        return Err("the window begins before the observer's first reading".to_owned());
    }
    if after == readings.len() {
        return Err("the window ends after the observer's last reading".to_owned());
    }
    Ok(readings.range(first - 1..=after).collect())
}

/// The CPU clock at a moment between two readings, and how far off it can be: clocks only rise, so the truth lies
/// between the readings on either side.
fn interpolate(clocks: &[&ClockReading], at_ns: u64) -> (f64, f64) {
    let next = clocks
        .partition_point(|reading| reading.at_ns < at_ns)
        .min(clocks.len() - 1);
    let (before, after) = (clocks[next.saturating_sub(1)], clocks[next]);
    let between =
        |share: f64| before.cpu_ns as f64 + share * after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
    let share = share_of(at_ns, before.at_ns, after.at_ns);
    let slack = share.max(1.0 - share) * after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
    (between(share), slack)
}

/// How far `at` lies on the way from `start` to `end`, from 0 to 1.
fn share_of(at: u64, start: u64, end: u64) -> f64 {
    if end <= start {
        1.0
    } else {
        (at.saturating_sub(start) as f64 / (end - start) as f64).clamp(0.0, 1.0)
    }
}

/// Every task seen, ascending by tid. One that was not there before the window was born in it: all of its clock is the
/// window's.
fn tasks_over(details: &[&DetailReading], window: Window) -> Vec<ObservedTask> {
    let mut seen: BTreeMap<u64, Vec<(u64, &TaskReading)>> = BTreeMap::new();
    for detail in details {
        for task in &detail.tasks {
            seen.entry(task.tid).or_default().push((detail.at_ns, task));
        }
    }
    let span = (window.end_ns - window.start_ns) as f64;
    let observed = seen.into_iter().map(|(tid, readings)| {
        let clocks: Option<Vec<ClockReading>> = readings
            .iter()
            .map(|(at_ns, task)| {
                task.cpu_ns.map(|cpu_ns| ClockReading {
                    at_ns: *at_ns,
                    cpu_ns,
                })
            })
            .collect();
        let cpu_percent = clocks.map(|clocks| {
            let clocks: Vec<&ClockReading> = clocks.iter().collect();
            let born_inside = clocks[0].at_ns > window.start_ns;
            let start = if born_inside {
                0.0
            } else {
                interpolate(&clocks, window.start_ns).0
            };
            (interpolate(&clocks, window.end_ns).0 - start) * 100.0 / span
        });
        let name = readings
            .last()
            .map(|(_, task)| task.name.clone())
            .unwrap_or_default();
        ObservedTask {
            tid,
            name,
            cpu_percent,
            whole_window: readings.len() == details.len(),
        }
    });
    observed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn task(tid: u64, cpu_ms: u64) -> TaskReading {
        TaskReading {
            tid,
            name: format!("t{tid}"),
            cpu_ns: Some(cpu_ms * MS),
        }
    }

    /// A process that runs at 50 % from 0 to 1 s; details at 0, 200, … 1000 ms.
    fn series(tasks_at: impl Fn(u64) -> Vec<TaskReading>) -> Series {
        let mut series = Series::default();
        for ms in (0..=1000).step_by(10) {
            series.push_clock(ClockReading {
                at_ns: ms * MS,
                cpu_ns: ms * MS / 2,
            });
        }
        for ms in (0..=1000).step_by(200) {
            series.push_detail(DetailReading {
                at_ns: ms * MS,
                resident_kb: 1000 + ms,
                virtual_kb: 2000 + ms,
                footprint_kb: None,
                port_names: None,
                tasks: tasks_at(ms),
            });
        }
        series
    }

    fn window(start_ms: u64, end_ms: u64) -> Window {
        Window {
            start_ns: start_ms * MS,
            end_ns: end_ms * MS,
        }
    }

    #[test]
    fn cpu_is_cut_out_between_readings_and_its_resolution_is_told() {
        let seen = series(|_| vec![]).over(window(105, 905)).expect("covered");
        assert!((seen.cpu_percent - 50.0).abs() < 1e-9, "{}", seen.cpu_percent);
        // Half of a 5 ms step at either end, of 800 ms.
        assert!(
            (seen.cpu_resolution_points - 0.625).abs() < 1e-9,
            "{}",
            seen.cpu_resolution_points
        );
        assert_eq!(seen.window.largest_gap_ms, 10.0);
    }

    #[test]
    fn memory_is_the_reading_nearest_to_the_end() {
        let seen = series(|_| vec![]).over(window(100, 850)).expect("covered");
        assert_eq!((seen.resident_kb, seen.virtual_kb), (1800, 2800));
    }

    #[test]
    fn tasks_that_come_and_go_are_seen_but_not_for_the_whole_window() {
        let tasks_at = |ms: u64| {
            let mut tasks = vec![task(1, ms / 10)];
            tasks.extend((ms <= 400).then(|| task(2, ms)));
            tasks.extend((ms >= 600).then(|| task(3, ms - 500)));
            tasks
        };
        let seen = series(tasks_at).over(window(200, 1000)).expect("covered").tasks;
        let told: Vec<_> = seen
            .iter()
            .map(|t| (t.tid, t.cpu_percent.map(f64::round), t.whole_window))
            .collect();
        // Task 2 ran 200 ms of 800 before it ended; task 3 brought 500 ms into the window's 800.
        assert_eq!(
            told,
            [
                (1, Some(10.0), true),
                (2, Some(25.0), false),
                (3, Some(63.0), false)
            ]
        );
    }

    #[test]
    fn a_task_without_a_clock_has_no_figure() {
        let tasks_at = |_| {
            vec![TaskReading {
                tid: 5,
                name: "x".to_owned(),
                cpu_ns: None,
            }]
        };
        let seen = series(tasks_at).over(window(200, 800)).expect("covered").tasks;
        assert_eq!((seen[0].cpu_percent, seen[0].whole_window), (None, true));
    }

    #[test]
    fn a_window_that_was_not_watched_is_refused() {
        let series = series(|_| vec![]);
        for (window, reason) in [
            (window(500, 500), "empty"),
            (window(600, 500), "empty"),
            (window(500, 1001), "after the observer's last"),
        ] {
            let error = series.over(window).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
        let late = Series {
            clocks: series.clocks.iter().skip(5).copied().collect(),
            ..Series::default()
        };
        assert!(
            late.over(window(20, 500))
                .expect_err("early")
                .contains("before the observer's first")
        );
    }

    #[test]
    fn readings_are_bounded() {
        let mut series = Series::default();
        for at_ns in 0..KEPT as u64 + 10 {
            series.push_clock(ClockReading { at_ns, cpu_ns: 0 });
        }
        assert_eq!((series.clocks.len(), series.clocks[0].at_ns), (KEPT, 10));
    }

    #[test]
    fn what_a_window_of_unknown_place_costs_is_added_to_the_resolution() {
        // At rest until 500 ms, then one core.
        let mut series = Series::default();
        let busy = |ms: u64| ms.saturating_sub(500);
        for ms in (0..=1000).step_by(10) {
            series.push_clock(ClockReading {
                at_ns: ms * MS,
                cpu_ns: busy(ms) * MS,
            });
        }
        for ms in (0..=1000).step_by(50) {
            let mut tasks = vec![task(1, busy(ms))];
            if (600..=800).contains(&ms) {
                tasks.push(task(2, 0));
            }
            series.push_detail(DetailReading {
                at_ns: ms * MS,
                resident_kb: 1,
                virtual_kb: 2,
                footprint_kb: None,
                port_names: None,
                tasks,
            });
        }
        let between = |earliest: u64, latest: u64, length: u64| {
            series.between(WindowBounds {
                earliest_ns: earliest * MS,
                latest_ns: latest * MS,
                length_ns: length * MS,
            })
        };
        let known = between(300, 700, 400).expect("readings");
        assert_eq!(known.cpu_uncertainty_points, Some(0.0));
        assert_eq!(known.window.uncertainty_ms, Some(0.0));

        // 400 ms somewhere in 200 to 800 ms: 25 % of a core at the earliest, 75 % at the latest.
        let unknown = between(200, 800, 400).expect("readings");
        assert!((unknown.cpu_percent - 50.0).abs() < 0.1, "{unknown:?}");
        let uncertainty = unknown.cpu_uncertainty_points.expect("told");
        assert!((uncertainty - 25.0).abs() < 0.1, "{unknown:?}");
        assert!(unknown.cpu_resolution_points >= uncertainty);
        assert_eq!(unknown.window.uncertainty_ms, Some(100.0));
        let whole: Vec<_> = unknown
            .tasks
            .iter()
            .map(|task| (task.tid, task.whole_window))
            .collect();
        assert_eq!(whole, [(1, true), (2, false)]);

        assert!(
            between(300, 600, 400)
                .expect_err("no room")
                .contains("longer than the time")
        );
    }
}

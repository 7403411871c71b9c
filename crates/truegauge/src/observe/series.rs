//! Readings over time, and the window that is cut out of them: pure arithmetic.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Readings kept of each kind: more than a quarter of an hour of clocks.
const MAX_READINGS: usize = 200_000;

/// Readings of the tasks kept: they are larger and rarer.
const MAX_TASK_READINGS: usize = MAX_READINGS / 10;

/// A client reads its memory near the end of its window, and may do so a little before it or after it.
const MEMORY_MARGIN_NS: u64 = 10_000_000;

/// The process's CPU clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockReading {
    pub(super) at_ns: u64,
    pub(super) cpu_ns: u64,
}

/// The process's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryReading {
    pub(super) at_ns: u64,
    pub(super) resident_kb: u64,
    pub(super) virtual_kb: u64,
    pub(super) footprint_kb: Option<u64>,
}

/// The process's tasks at one moment.
#[derive(Debug, Clone)]
pub(super) struct TasksReading {
    pub(super) at_ns: u64,
    /// Names in use in the task's port name space; only macOS has them.
    pub(super) port_names: Option<u32>,
    /// The time that all threads together have waited for a core, where the kernel counts it for the process.
    pub(super) waited_ns: Option<u64>,
    pub(super) tasks: Vec<TaskReading>,
}

/// One task at one moment.
#[derive(Debug, Clone)]
pub(super) struct TaskReading {
    pub(super) tid: u64,
    pub(super) name: String,
    /// Absent where the kernel gives no clock for the task.
    pub(super) cpu_ns: Option<u64>,
    /// The time that the task has waited for a core, where the kernel counts it for each task.
    pub(super) waited_ns: Option<u64>,
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
    /// The time that the process's threads together waited for a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waited_ms: Option<f64>,
    #[serde(flatten)]
    memory: Option<ObservedMemory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_names: Option<u32>,
    /// Absent where the tasks could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<ObservedTask>>,
    /// The last error of each call that failed since the first reading, by the name of what it reads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<&'static str, String>,
}

/// The memory at the end of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ObservedMemory {
    resident_kb: u64,
    virtual_kb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    footprint_kb: Option<u64>,
    memory_bracket: MemoryBracket,
}

/// The lowest and the highest of the readings around the end of a window, from the last reading before it to the first after
/// it: the client read its own memory somewhere between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MemoryBracket {
    start_monotonic_ns: u64,
    end_monotonic_ns: u64,
    readings: usize,
    resident_kb: [u64; 2],
    virtual_kb: [u64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    footprint_kb: Option<[u64; 2]>,
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
    /// How far off `cpu_percent` can be: the readings before and after each end of the window lie this far apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_resolution_points: Option<f64>,
    whole_window: bool,
}

/// The newest readings.
#[derive(Debug, Default)]
pub(super) struct Series {
    clocks: VecDeque<ClockReading>,
    memory: VecDeque<MemoryReading>,
    tasks: VecDeque<TasksReading>,
    errors: BTreeMap<&'static str, String>,
}

impl Series {
    pub(super) fn push_clock(&mut self, reading: anyhow::Result<ClockReading>) {
        push_or_note(&mut self.clocks, reading, MAX_READINGS, "clock", &mut self.errors);
    }

    pub(super) fn push_memory(&mut self, reading: anyhow::Result<MemoryReading>) {
        push_or_note(
            &mut self.memory,
            reading,
            MAX_READINGS,
            "memory",
            &mut self.errors,
        );
    }

    pub(super) fn push_tasks(&mut self, reading: anyhow::Result<TasksReading>) {
        push_or_note(
            &mut self.tasks,
            reading,
            MAX_TASK_READINGS,
            "tasks",
            &mut self.errors,
        );
    }

    /// The last error of each call that failed.
    pub(super) fn errors(&self) -> &BTreeMap<&'static str, String> {
        &self.errors
    }

    /// Whether the readings of every kind go beyond a moment; kinds that cannot be read do not count, but the clock does.
    pub(super) fn reaches(&self, moment_ns: u64) -> bool {
        let beyond = |at_ns: Option<u64>, optional: bool| match at_ns {
            Some(at_ns) => at_ns >= moment_ns,
            None => optional,
        };
        let failed = |kind| self.errors.contains_key(kind);
        beyond(self.clocks.back().map(|last| last.at_ns), false)
            && (failed("memory") || beyond(self.memory.back().map(|last| last.at_ns), true))
            && (failed("tasks") || beyond(self.tasks.back().map(|last| last.at_ns), true))
    }

    pub(super) fn over(&self, window: Window) -> Result<Observation, String> {
        self.over_with_memory_between(window, window.end_ns, window.end_ns)
    }

    /// Over a window, where the client may have read its memory between two moments.
    fn over_with_memory_between(
        &self,
        window: Window,
        memory_from_ns: u64,
        memory_to_ns: u64,
    ) -> Result<Observation, String> {
        if window.end_ns <= window.start_ns {
            return Err("the window is empty".to_owned());
        }
        let clocks = bracket(&self.clocks, window, |reading| reading.at_ns)
            .map_err(|why| self.explain(why, "clock"))?;
        let (start, start_slack) = interpolate(&clocks, window.start_ns);
        let (end, end_slack) = interpolate(&clocks, window.end_ns);
        let span = (window.end_ns - window.start_ns) as f64;
        let gaps = clocks
            .iter()
            .zip(clocks.iter().skip(1))
            .map(|(a, b)| b.at_ns - a.at_ns);

        let tasks = bracket(&self.tasks, window, |reading| reading.at_ns).ok();
        let waited_ns = tasks.as_deref().and_then(waited_over);
        // A thread that waits for a core between its reading of the memory and the end of the window reads so much earlier.
        let margin = MEMORY_MARGIN_NS.max(waited_ns.unwrap_or(0).min((window.end_ns - window.start_ns) / 2));
        let memory_window = Window {
            start_ns: memory_from_ns.saturating_sub(margin),
            end_ns: memory_to_ns + MEMORY_MARGIN_NS,
        };
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
            waited_ms: waited_ns.map(|ns| ns as f64 / 1e6),
            memory: self.memory_at(window.end_ns, memory_window),
            port_names: tasks
                .iter()
                .flatten()
                .min_by_key(|reading| reading.at_ns.abs_diff(window.end_ns))
                .and_then(|reading| reading.port_names),
            tasks: tasks.map(|tasks| tasks_over(&tasks, window)),
            errors: self.errors.clone(),
        })
    }

    /// The memory at a moment, and all that it was around it. The readings may end before the bracket does.
    fn memory_at(&self, at_ns: u64, around: Window) -> Option<ObservedMemory> {
        let first = self
            .memory
            .partition_point(|reading| reading.at_ns <= around.start_ns)
            .saturating_sub(1);
        let after = self
            .memory
            .partition_point(|reading| reading.at_ns < around.end_ns);
        let readings: Vec<&MemoryReading> = self
            .memory
            .range(first..(after + 1).min(self.memory.len()))
            .collect();
        let nearest = readings
            .iter()
            .min_by_key(|reading| reading.at_ns.abs_diff(at_ns))?;
        let range = |value: fn(&MemoryReading) -> Option<u64>| {
            let values = || readings.iter().filter_map(|reading| value(reading));
            Some([values().min()?, values().max()?])
        };
        Some(ObservedMemory {
            resident_kb: nearest.resident_kb,
            virtual_kb: nearest.virtual_kb,
            footprint_kb: nearest.footprint_kb,
            memory_bracket: MemoryBracket {
                start_monotonic_ns: readings.first()?.at_ns,
                end_monotonic_ns: readings.last()?.at_ns,
                readings: readings.len(),
                resident_kb: range(|reading| Some(reading.resident_kb))?,
                virtual_kb: range(|reading| Some(reading.virtual_kb))?,
                footprint_kb: range(|reading| reading.footprint_kb),
            },
        })
    }

    /// Adds the cause of missing readings, where one is known.
    fn explain(&self, why: String, kind: &str) -> String {
        match self.errors.get(kind) {
            Some(error) => format!("{why}: {error}"),
            None => why,
        }
    }
}

impl Series {
    /// What was seen over a window whose place is not known: over its middle place, and how far the others differ from
    /// that, the process's CPU or any one task's, added to the resolution.
    pub(super) fn between(&self, between: WindowBounds) -> Result<Observation, String> {
        if between.latest_ns.saturating_sub(between.earliest_ns) < between.length_ns {
            return Err("the window is longer than the time in which it must lie".to_owned());
        }
        if between.uncertainty_ns() == 0 {
            return self.over(between.middle());
        }
        let first_end_ns = between.earliest_ns + between.length_ns;
        let mut observation =
            self.over_with_memory_between(between.middle(), first_end_ns, between.latest_ns)?;
        let mut uncertainty = 0.0_f64;
        let mut seen: BTreeMap<u64, ObservedTask> = BTreeMap::new();
        let known = observation.tasks.take();
        for place in between.places() {
            let other = self.over(place)?;
            uncertainty = uncertainty.max((other.cpu_percent - observation.cpu_percent).abs());
            for task in other.tasks.into_iter().flatten() {
                let middle = known.iter().flatten().find(|known| known.tid == task.tid);
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
        observation.tasks = known.map(|mut tasks| {
            for task in &mut tasks {
                if let Some(known) = seen.remove(&task.tid) {
                    task.whole_window &= known.whole_window;
                }
                task.cpu_resolution_points = task.cpu_resolution_points.map(|points| points + uncertainty);
            }
            tasks.extend(seen.into_values().map(|task| ObservedTask {
                whole_window: false,
                ..task
            }));
            tasks.sort_by_key(|task| task.tid);
            tasks
        });
        observation.cpu_resolution_points += uncertainty;
        observation.cpu_uncertainty_points = Some(uncertainty);
        observation.window.uncertainty_ms = Some(between.uncertainty_ns() as f64 / 1e6);
        Ok(observation)
    }
}

fn push_or_note<T>(
    readings: &mut VecDeque<T>,
    reading: anyhow::Result<T>,
    kept: usize,
    kind: &'static str,
    errors: &mut BTreeMap<&'static str, String>,
) {
    match reading {
        Ok(reading) => {
            if readings.len() == kept {
                readings.pop_front();
            }
            readings.push_back(reading);
        }
        Err(error) => drop(errors.insert(kind, format!("{error:#}"))),
    }
}

/// The time that the threads together waited for a core between the first and the last of these readings.
fn waited_over(readings: &[&TasksReading]) -> Option<u64> {
    let (first, last) = (readings.first()?, readings.last()?);
    if let (Some(before), Some(after)) = (first.waited_ns, last.waited_ns) {
        return Some(after.saturating_sub(before));
    }
    // By task; one that was not there at first was born since.
    let mut waited: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (place, reading) in readings.iter().enumerate() {
        for task in &reading.tasks {
            let now = task.waited_ns?;
            let before = if place == 0 { now } else { 0 };
            waited.entry(task.tid).or_insert((before, now)).1 = now;
        }
    }
    Some(
        waited
            .into_values()
            .map(|(before, after)| after.saturating_sub(before))
            .sum(),
    )
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
fn tasks_over(readings: &[&TasksReading], window: Window) -> Vec<ObservedTask> {
    let mut seen: BTreeMap<u64, Vec<(u64, &TaskReading)>> = BTreeMap::new();
    for reading in readings {
        for task in &reading.tasks {
            seen.entry(task.tid).or_default().push((reading.at_ns, task));
        }
    }
    let throughout = readings.len();
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
        let cpu = clocks.map(|clocks| {
            let clocks: Vec<&ClockReading> = clocks.iter().collect();
            let born_inside = clocks[0].at_ns > window.start_ns;
            let (start, start_slack) = if born_inside {
                (0.0, 0.0)
            } else {
                interpolate(&clocks, window.start_ns)
            };
            let (end, end_slack) = interpolate(&clocks, window.end_ns);
            (
                (end - start) * 100.0 / span,
                (start_slack + end_slack) * 100.0 / span,
            )
        });
        let name = readings
            .last()
            .map(|(_, task)| task.name.clone())
            .unwrap_or_default();
        ObservedTask {
            tid,
            name,
            cpu_percent: cpu.map(|(percent, _)| percent),
            cpu_resolution_points: cpu.map(|(_, resolution)| resolution),
            whole_window: readings.len() == throughout,
        }
    });
    observed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    const MS: u64 = 1_000_000;

    fn task(tid: u64, cpu_ms: u64) -> TaskReading {
        TaskReading {
            tid,
            name: format!("t{tid}"),
            cpu_ns: Some(cpu_ms * MS),
            waited_ns: Some(cpu_ms * MS / 10),
        }
    }

    fn memory(at_ms: u64, resident_kb: u64) -> MemoryReading {
        MemoryReading {
            at_ns: at_ms * MS,
            resident_kb,
            virtual_kb: 2 * resident_kb,
            footprint_kb: None,
        }
    }

    fn tasks_reading(at_ms: u64, tasks: Vec<TaskReading>) -> TasksReading {
        TasksReading {
            at_ns: at_ms * MS,
            port_names: None,
            waited_ns: None,
            tasks,
        }
    }

    /// A process that runs at 50 % from 0 to 1 s; tasks are read at 0, 200, … 1000 ms.
    fn series(tasks_at: impl Fn(u64) -> Vec<TaskReading>) -> Series {
        let mut series = Series::default();
        for ms in (0..=1000).step_by(10) {
            series.push_clock(Ok(ClockReading {
                at_ns: ms * MS,
                cpu_ns: ms * MS / 2,
            }));
            series.push_memory(Ok(memory(ms, 1000 + ms)));
        }
        for ms in (0..=1000).step_by(200) {
            series.push_tasks(Ok(tasks_reading(ms, tasks_at(ms))));
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
    fn memory_is_bracketed_by_readings_before_and_after_the_end() {
        let observed = |series: &Series, end_ms| {
            let seen = series.over(window(100, end_ms)).expect("covered");
            seen.memory.expect("read")
        };
        let steady = observed(&series(|_| vec![]), 854);
        assert_eq!((steady.resident_kb, steady.virtual_kb), (1850, 3700));
        // 10 ms before the end and after it, and one reading more on either side.
        assert_eq!(steady.memory_bracket.resident_kb, [1840, 1870]);
        assert_eq!(steady.memory_bracket.virtual_kb, [3680, 3740]);
        assert_eq!(steady.memory_bracket.readings, 4);

        // 33 MB appear at once just after the end.
        let mut series = Series::default();
        for ms in (0..=1000).step_by(5) {
            let cpu_ns = 0;
            series.push_clock(Ok(ClockReading {
                at_ns: ms * MS,
                cpu_ns,
            }));
            series.push_memory(Ok(memory(ms, if ms <= 900 { 16_000 } else { 49_000 })));
        }
        assert_eq!(
            observed(&series, 900).memory_bracket.resident_kb,
            [16_000, 49_000]
        );
        assert_eq!(
            observed(&series, 850).memory_bracket.resident_kb,
            [16_000, 16_000]
        );
    }

    #[test]
    fn memory_is_looked_for_as_long_before_the_end_as_the_threads_waited_for_a_core() {
        let waiting = |ms: u64| {
            let mut waiting = task(1, 0);
            waiting.waited_ns = Some(ms.saturating_sub(700) * MS);
            vec![waiting]
        };
        let seen = series(waiting).over(window(600, 1000)).expect("covered");
        assert_eq!(seen.waited_ms, Some(300.0));
        // Half of the window is the bound: 200 ms.
        let bracket = seen.memory.expect("read").memory_bracket;
        assert_eq!(bracket.start_monotonic_ns, 800 * MS);
    }

    #[test]
    fn a_reading_that_fails_leaves_its_error_and_the_other_readings() {
        let whole = series(|_| vec![task(1, 0)]);
        let mut series = Series {
            clocks: whole.clocks,
            ..Series::default()
        };
        series.push_memory(Err(anyhow!("statm: EACCES")));
        assert!(
            !series.reaches(1001 * MS) && series.reaches(1000 * MS),
            "memory is not waited for"
        );
        series.push_tasks(Err(anyhow!("task: EACCES")));
        series.push_tasks(Err(anyhow!("task: EPERM")));
        let seen = series.over(window(200, 800)).expect("the clock was read");
        assert!(seen.memory.is_none() && seen.tasks.is_none(), "{seen:?}");
        let expected = BTreeMap::from([
            ("memory", "statm: EACCES".to_owned()),
            ("tasks", "task: EPERM".to_owned()),
        ]);
        assert_eq!(seen.errors, expected);
        series.push_clock(Err(anyhow!("clock: EPERM")));
        let error = series.over(window(200, 2000)).expect_err("not read so far");
        assert!(error.ends_with("last reading: clock: EPERM"), "{error}");
    }

    #[test]
    fn tasks_that_come_and_go_are_seen_but_not_for_the_whole_window() {
        let tasks_at = |ms: u64| {
            let mut tasks = vec![task(1, ms / 10)];
            tasks.extend((ms <= 400).then(|| task(2, ms)));
            tasks.extend((ms >= 600).then(|| task(3, ms - 500)));
            tasks
        };
        let seen = series(tasks_at)
            .over(window(200, 1000))
            .expect("covered")
            .tasks
            .expect("read");
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
                waited_ns: None,
            }]
        };
        let seen = series(tasks_at)
            .over(window(200, 800))
            .expect("covered")
            .tasks
            .expect("read");
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
        for at_ns in 0..MAX_READINGS as u64 + 10 {
            series.push_clock(Ok(ClockReading { at_ns, cpu_ns: 0 }));
        }
        assert_eq!((series.clocks.len(), series.clocks[0].at_ns), (MAX_READINGS, 10));
    }

    #[test]
    fn what_a_window_of_unknown_place_costs_is_added_to_the_resolution() {
        // At rest until 500 ms, then one core.
        let mut series = Series::default();
        let busy = |ms: u64| ms.saturating_sub(500);
        for ms in (0..=1000).step_by(10) {
            series.push_clock(Ok(ClockReading {
                at_ns: ms * MS,
                cpu_ns: busy(ms) * MS,
            }));
        }
        for ms in (0..=1000).step_by(50) {
            let mut tasks = vec![task(1, busy(ms))];
            if (600..=800).contains(&ms) {
                tasks.push(task(2, 0));
            }
            series.push_tasks(Ok(tasks_reading(ms, tasks)));
        }
        let between = |earliest: u64, latest: u64, length: u64| {
            series.between(WindowBounds {
                earliest_ns: earliest * MS,
                latest_ns: latest * MS,
                length_ns: length * MS,
            })
        };
        let known = between(300, 700, 400).expect("readings");
        assert_eq!(
            (known.cpu_uncertainty_points, known.window.uncertainty_ms),
            (None, None)
        );

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
            .flatten()
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

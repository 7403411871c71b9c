//! The deviations that a verdict allows.

use serde::Serialize;

use crate::source::SourceChoice;

/// Deviations that a verdict allows. They travel inside the evidence, so that it can be judged again anywhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Thresholds {
    pub(crate) cpu_relative: f64,
    pub(crate) cpu_floor_points: f64,
    pub(crate) thread_floor_points: f64,
    pub(crate) memory_relative: f64,
    pub(crate) memory_floor_kb: u64,
    pub(crate) uptime_secs: f64,
    pub(crate) window_relative: f64,
    pub(crate) min_threads: u64,
    pub(crate) worker_name: String,
    pub(crate) busy_percent: f64,
}

impl Thresholds {
    /// The runbook's tolerances, wide enough for any client that is right at all.
    fn runbook() -> Self {
        Self {
            cpu_relative: 0.5,
            cpu_floor_points: 2.0,
            thread_floor_points: 3.0,
            memory_relative: 0.5,
            memory_floor_kb: 4096,
            uptime_secs: 0.5,
            window_relative: 0.05,
            min_threads: 10,
            worker_name: "^tokio-r(t|untime)-w".to_owned(),
            busy_percent: 20.0,
        }
    }

    /// What a correct sampler reaches on a machine that is not overloaded.
    fn strict() -> Self {
        Self {
            cpu_relative: 0.05,
            cpu_floor_points: 0.5,
            thread_floor_points: 1.0,
            memory_relative: 0.02,
            memory_floor_kb: 1024,
            uptime_secs: 0.15,
            ..Self::runbook()
        }
    }
}

/// What is busy enough where the load is not ours to choose.
const OTHERS_BUSY_PERCENT: f64 = 5.0;

/// The widest floor of CPU: below what is busy at the least.
const MAX_CPU_POINTS: f64 = 4.0;

/// Thresholds on the command line; what is not given is the runbook's, or with `--strict` the sampler's.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Thresholds (defaults: the runbook's, then --strict's)")]
pub(crate) struct ThresholdArgs {
    /// Narrow every tolerance to what a correct sampler reaches.
    #[arg(long)]
    strict: bool,
    /// CPU: relative deviation allowed [default: 0.5, strict 0.05].
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    cpu_relative: Option<f64>,
    /// CPU: deviation always allowed, in points of a core, so that an idle 0.3 % is not judged by ratio
    /// [default: 2, strict 0.5].
    #[arg(long, value_name = "POINTS", value_parser = cpu_points)]
    cpu_floor: Option<f64>,
    /// CPU of one thread: deviation always allowed, in points of a core [default: 3, strict 1].
    #[arg(long, value_name = "POINTS", value_parser = cpu_points)]
    thread_floor: Option<f64>,
    /// Memory: relative deviation allowed [default: 0.5, strict 0.02].
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    memory_relative: Option<f64>,
    /// Memory: deviation always allowed [default: 4096, strict 1024].
    #[arg(long, value_name = "KIB", value_parser = memory_kib)]
    memory_floor: Option<u64>,
    /// Uptime: deviation allowed, in seconds [default: 0.5, strict 0.15].
    #[arg(long, value_name = "SECONDS", value_parser = uptime_secs)]
    uptime: Option<f64>,
    /// Sample window: relative deviation allowed [default: 0.05].
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    window_relative: Option<f64>,
    /// Threads that a real session has at the least [default: 10].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    min_threads: Option<u64>,
    /// CPU that the observer must see before the busy report, in percent of a core, 5 to 90 [default: 20, of another source
    /// than the synthetic one 5].
    #[arg(long, value_name = "PERCENT", value_parser = busy_percent)]
    busy_cpu: Option<f64>,
}

impl ThresholdArgs {
    /// Those of a run with a source: others' servers draw as they draw.
    pub(crate) fn resolve_for(&self, source: &SourceChoice) -> Thresholds {
        let mut thresholds = self.resolve();
        if self.busy_cpu.is_none() && *source != SourceChoice::Synthetic {
            thresholds.busy_percent = OTHERS_BUSY_PERCENT;
        }
        thresholds
    }

    pub(crate) fn resolve(&self) -> Thresholds {
        let base = if self.strict {
            Thresholds::strict()
        } else {
            Thresholds::runbook()
        };

        Thresholds {
            cpu_relative: self.cpu_relative.unwrap_or(base.cpu_relative),
            cpu_floor_points: self.cpu_floor.unwrap_or(base.cpu_floor_points),
            thread_floor_points: self.thread_floor.unwrap_or(base.thread_floor_points),
            memory_relative: self.memory_relative.unwrap_or(base.memory_relative),
            memory_floor_kb: self.memory_floor.unwrap_or(base.memory_floor_kb),
            uptime_secs: self.uptime.unwrap_or(base.uptime_secs),
            window_relative: self.window_relative.unwrap_or(base.window_relative),
            min_threads: self.min_threads.unwrap_or(base.min_threads),
            worker_name: base.worker_name,
            busy_percent: self.busy_cpu.unwrap_or(base.busy_percent),
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("not a finite number".to_owned())
    }
}

fn non_negative(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if number >= 0.0 {
        Ok(number)
    } else {
        Err("must not be negative".to_owned())
    }
}

/// At most so much, or why more is refused.
fn at_most(text: &str, most: f64, why: &str) -> Result<f64, String> {
    let number = non_negative(text)?;
    if number <= most {
        Ok(number)
    } else {
        Err(format!("must be at most {most}: {why}"))
    }
}

fn cpu_points(text: &str) -> Result<f64, String> {
    at_most(
        text,
        MAX_CPU_POINTS,
        "with more, a report of no CPU at all passes beside a busy client",
    )
}

fn memory_kib(text: &str) -> Result<u64, String> {
    let kib: u64 = text.parse().map_err(|_| "not a whole number of KiB".to_owned())?;
    at_most(
        text,
        16_384.0,
        "with more, a report of no memory at all passes beside a small client",
    )?;
    Ok(kib)
}

fn uptime_secs(text: &str) -> Result<f64, String> {
    at_most(
        text,
        5.0,
        "with more, a clock that stands still passes from one report to the next",
    )
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = non_negative(text)?;
    if number < 1.0 {
        Ok(number)
    } else {
        Err("a ratio of 1 or more allows anything: must be below 1".to_owned())
    }
}

fn busy_percent(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if (OTHERS_BUSY_PERCENT..=90.0).contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "must lie between {OTHERS_BUSY_PERCENT} and 90: with less, idle and busy cannot be told apart"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_strict_which_overrides_the_runbook() {
        let resolve = |args: ThresholdArgs| args.resolve();
        assert_eq!(resolve(ThresholdArgs::default()), Thresholds::runbook());
        assert_eq!(
            resolve(ThresholdArgs {
                strict: true,
                ..Default::default()
            }),
            Thresholds::strict()
        );
        let mixed = resolve(ThresholdArgs {
            strict: true,
            cpu_relative: Some(0.3),
            ..Default::default()
        });
        assert_eq!(
            mixed,
            Thresholds {
                cpu_relative: 0.3,
                ..Thresholds::strict()
            }
        );
    }

    #[test]
    fn a_source_that_is_not_ours_to_load_may_be_less_busy() {
        let busy = |args: &ThresholdArgs, source| args.resolve_for(&source).busy_percent;
        let usual = ThresholdArgs::default();
        assert_eq!(busy(&usual, SourceChoice::Synthetic), 20.0);
        assert_eq!(busy(&usual, SourceChoice::Qemu), OTHERS_BUSY_PERCENT);
        let asked = ThresholdArgs {
            busy_cpu: Some(30.0),
            ..Default::default()
        };
        assert_eq!(busy(&asked, SourceChoice::Qemu), 30.0);
    }

    #[test]
    fn strict_is_nowhere_wider() {
        let (runbook, strict) = (Thresholds::runbook(), Thresholds::strict());
        for (name, wide, narrow) in [
            ("cpu_relative", runbook.cpu_relative, strict.cpu_relative),
            ("cpu_floor", runbook.cpu_floor_points, strict.cpu_floor_points),
            (
                "thread_floor",
                runbook.thread_floor_points,
                strict.thread_floor_points,
            ),
            ("memory_relative", runbook.memory_relative, strict.memory_relative),
            (
                "memory_floor",
                runbook.memory_floor_kb as f64,
                strict.memory_floor_kb as f64,
            ),
            ("uptime", runbook.uptime_secs, strict.uptime_secs),
            ("window", runbook.window_relative, strict.window_relative),
        ] {
            assert!(narrow <= wide, "{name}: {narrow} > {wide}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        for text in ["-1", "NaN", "inf", "x", ""] {
            assert!(non_negative(text).is_err(), "{text}");
            assert!(ratio(text).is_err(), "{text}");
            assert!(busy_percent(text).is_err(), "{text}");
        }
        assert!(ratio("1").is_err());
        assert_eq!(ratio("0.5"), Ok(0.5));
        assert!(busy_percent("4.9").is_err() && busy_percent("91").is_err());
    }

    #[test]
    fn tolerances_that_admit_any_report_are_refused_with_the_reason() {
        let refused = |error: Option<String>, why: &str| {
            let error = error.expect("refused");
            assert!(
                error.contains("must be at most") && error.contains(why),
                "{error}"
            );
        };
        refused(cpu_points("1e9").err(), "no CPU at all");
        refused(cpu_points("4.1").err(), "no CPU at all");
        refused(memory_kib("99999999999").err(), "no memory at all");
        refused(uptime_secs("1e9").err(), "stands still");
        assert!(memory_kib("-1").is_err() && memory_kib("1.5").is_err());
        assert_eq!(memory_kib("16384"), Ok(16_384));
        assert_eq!((cpu_points("4"), uptime_secs("5")), (Ok(4.0), Ok(5.0)));
        let runbook = Thresholds::runbook();
        assert!(runbook.cpu_floor_points <= MAX_CPU_POINTS && runbook.thread_floor_points <= MAX_CPU_POINTS);
        const { assert!(MAX_CPU_POINTS < OTHERS_BUSY_PERCENT) };
    }
}

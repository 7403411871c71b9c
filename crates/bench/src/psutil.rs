//! psutil, in a Python of its own that watches this process from outside.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::subject::{Sampled, Subject};

/// Reads a window in seconds a line; answers cost, start and end in ns, then tid and percent of each thread. (psutil has
/// no names of threads.)
const SCRIPT: &str = r"
import sys, time, psutil
process = psutil.Process(int(sys.argv[1]))
print('ready', psutil.__version__, flush=True)
for line in sys.stdin:
    window = float(line)
    start, cpu = time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.thread_time_ns()
    began = time.perf_counter()
    before = {t.id: t.user_time + t.system_time for t in process.threads()}
    process.cpu_times()
    time.sleep(window)
    after = process.threads()
    seconds = time.perf_counter() - began
    process.cpu_times(), process.memory_info()
    used = [(t.id, (t.user_time + t.system_time - before.get(t.id, 0)) / seconds * 100) for t in after]
    cost = time.thread_time_ns() - cpu
    print(cost, start, time.clock_gettime_ns(time.CLOCK_MONOTONIC), *(f'{tid}={share}' for tid, share in used), flush=True)
";

/// Ends with its standard input.
pub(crate) struct Psutil {
    python: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    percents: Vec<(u64, f64)>,
}

impl Psutil {
    pub(crate) fn start() -> Result<Self> {
        let mut python = Command::new("python3")
            .args(["-c", SCRIPT, &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("python3")?;
        let answers = BufReader::new(python.stdout.take().context("no standard output")?);
        let mut psutil = Self {
            requests: python.stdin.take(),
            python,
            answers,
            percents: Vec::new(),
        };
        let answer = psutil.answer()?;
        ensure!(
            answer.starts_with("ready 7."),
            "python3 -c 'import psutil': not psutil 7"
        );
        Ok(psutil)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Subject for Psutil {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        let requests = self.requests.as_mut().context("no standard input")?;
        writeln!(requests, "{}", window.as_secs_f64())?;
        let answer = self.answer()?;
        let mut words = answer.split_whitespace();
        let mut next_ns = || -> Result<u64> { Ok(words.next().context("Python ended")?.parse()?) };
        let (cost_ns, start_ns, end_ns) = (next_ns()?, next_ns()?, next_ns()?);
        let pair = |word: &str| {
            let (tid, percent) = word.split_once('=')?;
            Some((tid.parse().ok()?, percent.parse().ok()?))
        };
        self.percents = words.filter_map(pair).collect();
        Ok(Sampled {
            cost_ns,
            start_ns,
            end_ns,
        })
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        self.percents.clone()
    }
}

impl Drop for Psutil {
    fn drop(&mut self) {
        self.requests = None;
        // It ends at end-of-file; what it ends with is nobody's concern.
        let _ = self.python.wait();
    }
}

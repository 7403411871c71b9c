//! A process that never called `init_at_startup`: a test binary of its own, with this one test.

use std::time::Duration;

#[test]
fn without_a_startup_mark_the_uptime_is_absent_and_says_so() {
    for _ in 0..2 {
        let metrics = runtime_metrics::sample(Duration::ZERO);
        let report = metrics.available().expect("a backend");
        assert_eq!(report.process.uptime_secs, None, "sampling must not mark a start");
        assert_eq!(
            report.missing["process.uptime_secs"],
            "init_at_startup() has not been called"
        );
    }
}

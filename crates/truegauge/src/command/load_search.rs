//! The search for the draw rate that loads the client.

use std::time::Duration;

use anyhow::Result;

use crate::error::RunError;
use crate::observe::{Window, monotonic_ns};
use crate::rig::{Events, Load, Rig};
use crate::thresholds::Thresholds;

/// Raises the source's draw rate until the observer sees the client busy: a rate that loads one machine is nothing to
/// another.
pub(super) fn raise_load(rig: &mut Rig, thresholds: &Thresholds, events: &mut Events) -> Result<()> {
    const WATCHED: Duration = Duration::from_millis(400);
    const HIGHEST: u32 = 100_000;
    // A load that is only on or off is looked at so often: a guest may still have to boot.
    const MAX_LOOKS: u32 = 50;
    // The highest rate is looked at so often: another program may hold the cores for a while.
    const MAX_LOOKS_AT_HIGHEST: u32 = 5;
    let mut rate = 200;
    let mut looks_at_highest = 0;
    for look in 1.. {
        let load = rig.set_rate(rate, events)?;
        if load == Load::Theirs {
            events.doing("  the source is not ours to load: its own traffic must do");
            return Ok(());
        }
        let start_ns = monotonic_ns();
        events.sleep(WATCHED)?;
        let end_ns = monotonic_ns();
        rig.await_observer(end_ns, events)?;
        let seen = rig.observer.over(Window { start_ns, end_ns });
        let seen =
            seen.map_err(|reason| RunError::Environment(format!("the observer saw nothing: {reason}")))?;
        let asked = match load {
            Load::Rate => format!("{rate} draws a second"),
            Load::Switched | Load::Theirs => "the load is on".to_owned(),
        };
        events.doing(&format!(
            "  {asked}: the observer sees {:.1} % of a core",
            seen.cpu_percent
        ));
        // A quarter more than asked, so that the load does not fall below it inside the window.
        if seen.cpu_percent >= thresholds.busy_percent * 1.25 {
            return Ok(());
        }
        looks_at_highest += u32::from(rate == HIGHEST);
        let spent = match load {
            Load::Rate => looks_at_highest == MAX_LOOKS_AT_HIGHEST,
            Load::Switched | Load::Theirs => look == MAX_LOOKS,
        };
        if spent {
            return Err(RunError::Environment(format!(
                "{asked}, which does not load the client to {} % of a core: {}",
                thresholds.busy_percent,
                remedy(seen.waited_ms, WATCHED)
            ))
            .into());
        }
        rate = (rate * 2).min(HIGHEST);
    }
    unreachable!("every look ends the loop or is followed by another")
}

/// The cause of too little load: the machine, where the client's threads waited for a core much of the time.
fn remedy(waited_ms: Option<f64>, watched: Duration) -> String {
    /// Threads of a client on an idle machine wait for less.
    const BUSY_MACHINE_SHARE: f64 = 0.1;
    let watched_ms = watched.as_secs_f64() * 1e3;
    match waited_ms {
        Some(waited_ms) if waited_ms > watched_ms * BUSY_MACHINE_SHARE => format!(
            "the machine is busy: the client's threads waited {waited_ms:.0} ms for a core in {watched_ms:.0} ms; \
             end other programs and run again"
        ),
        _ => "try a lower --busy-cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_load_is_blamed_on_a_busy_machine_where_the_client_waited_for_a_core() {
        let watched = Duration::from_millis(400);
        assert!(
            remedy(Some(350.0), watched).contains("the machine is busy: the client's threads waited 350 ms")
        );
        for waited_ms in [None, Some(0.0), Some(39.0)] {
            assert_eq!(remedy(waited_ms, watched), "try a lower --busy-cpu");
        }
    }
}

//! Events, each scheduled before a call.

use std::collections::BTreeMap;

/// A call of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs, reason = "named like the calls and flavors")]
pub enum Call {
    TaskThreads,
    MachPortNames,
    MachPortGetRefs,
    MachPortDeallocate,
    MachVmDeallocate,
    ThreadExtendedInfo,
    ThreadIdentifierInfo,
    MachTaskBasicInfo,
    TaskThreadTimesInfo,
    TaskAbsolutetimeInfo,
    TaskPowerInfo,
    TaskVmInfo,
    MachVmRegionRecurse,
    MachTimebaseInfo,
    Sysctl,
    ProcPidinfo,
    MonotonicClock,
}

impl Call {
    /// Gives something back. Such a call may fail, but it cannot unwind: the real ones are C functions.
    #[must_use]
    pub fn is_release(self) -> bool {
        matches!(self, Self::MachPortDeallocate | Self::MachVmDeallocate)
    }

    /// Has an error to answer with.
    #[must_use]
    pub fn can_fail(self) -> bool {
        self != Self::MonotonicClock
    }
}

/// An event before a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A thread is born. It uses a whole core.
    Birth,
    /// The nth listed thread, the youngest first (the calling thread, the oldest, lives on), is terminated and has
    /// released its own reference. It is still listed: under a new name, which has 1 reference.
    Terminated(usize),
    /// The nth listed thread is terminated, and its port is disabled: it is listed without a name.
    Dying(usize),
    /// The nth listed thread ends: it is not listed any more, and its port dies.
    Death(usize),
    /// Time passes, in ns.
    Time(u64),
    /// The call fails with this code and does nothing.
    Fail(i32),
    /// The call unwinds; a release does not.
    Panic,
}

/// Events by the number of the call that they come before.
#[derive(Debug, Default)]
pub(crate) struct Schedule(BTreeMap<usize, Vec<Event>>);

impl Schedule {
    pub(crate) fn add(&mut self, call: usize, event: Event) {
        self.0.entry(call).or_default().push(event);
    }

    pub(crate) fn take(&mut self, call: usize) -> Vec<Event> {
        self.0.remove(&call).unwrap_or_default()
    }
}

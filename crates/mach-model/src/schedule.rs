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
    /// The nth living thread (of those that may: the calling thread lives on) starts to end: it has released
    /// its own reference, answers that it is terminated, and is listed without a name.
    Dying(usize),
    /// The nth living thread ends, and its port dies.
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

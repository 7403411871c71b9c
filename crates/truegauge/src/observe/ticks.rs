//! Mach ticks: ns on Intel, 125/3 ns on Apple Silicon.
#![cfg_attr(
    not(any(target_os = "macos", test)),
    expect(dead_code, reason = "only macOS counts in them; tested everywhere")
)]

use anyhow::{Result, ensure};

/// Ns per tick, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timebase {
    numer: u32,
    denom: u32,
}

impl Timebase {
    /// Under Rosetta the timebase claims 1/1 while the kernel counts in 125/3 ns: whatever is computed from it is wrong.
    pub(super) fn new(numer: u32, denom: u32, translated: bool) -> Result<Self> {
        ensure!(
            !translated,
            "this harness runs under Rosetta, where mach_timebase_info lies: build it natively for this machine"
        );
        ensure!(numer > 0 && denom > 0, "mach_timebase_info says {numer}/{denom}");
        Ok(Self { numer, denom })
    }

    /// Ticks in ns. 128 bits: 2⁶⁴ ticks times 125 do not fit into 64.
    pub(super) fn ns(self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * u128::from(self.numer) / u128::from(self.denom);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_ns_on_either_architecture() {
        let of = |numer, denom| Timebase::new(numer, denom, false).expect("a timebase");
        assert_eq!(of(1, 1).ns(7), 7);
        assert_eq!(of(125, 3).ns(24_000_000), 1_000_000_000, "24 MHz");
        assert_eq!(of(125, 3).ns(u64::MAX), u64::MAX, "saturates");
        assert_eq!(
            of(125, 3).ns(1 << 58),
            12_009_599_006_321_322_666,
            "no overflow in between"
        );
    }

    #[test]
    fn rosetta_and_nonsense_are_refused() {
        assert!(
            Timebase::new(1, 1, true)
                .expect_err("lies")
                .to_string()
                .contains("Rosetta")
        );
        assert!(Timebase::new(1, 0, false).is_err() && Timebase::new(0, 1, false).is_err());
    }
}

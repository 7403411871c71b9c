//! Builds for macOS without a Mac, and reads the executables.

pub(crate) mod calls;
pub(crate) mod executables;
pub(crate) mod macho;
pub(crate) mod toolchain;

use self::macho::Version;

/// One of Apple's desktop targets.
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// The name that [`macho`] gives it.
    pub(crate) architecture: &'static str,
    /// The oldest macOS that rustc builds for. C is compiled for it too, and every executable must start on it.
    pub(crate) oldest_macos: Version,
}

pub(crate) const APPLE_SILICON: Target = Target {
    triple: "aarch64-apple-darwin",
    architecture: "aarch64",
    oldest_macos: Version { major: 11, minor: 0 },
};

pub(crate) const INTEL: Target = Target {
    triple: "x86_64-apple-darwin",
    architecture: "x86_64",
    oldest_macos: Version { major: 10, minor: 12 },
};

pub(crate) const TARGETS: [&Target; 2] = [&APPLE_SILICON, &INTEL];

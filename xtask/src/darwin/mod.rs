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
}

pub(crate) const APPLE_SILICON: Target = Target {
    triple: "aarch64-apple-darwin",
    architecture: "aarch64",
};

pub(crate) const INTEL: Target = Target {
    triple: "x86_64-apple-darwin",
    architecture: "x86_64",
};

/// All of them.
pub(crate) const TARGETS: [&Target; 2] = [&APPLE_SILICON, &INTEL];

/// The oldest macOS that everything must start on. The C compiler on Linux has headers for none older.
pub(crate) const OLDEST_MACOS: Version = Version { major: 11, minor: 0 };

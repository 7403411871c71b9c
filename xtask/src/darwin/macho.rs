//! Reads a linked Mach-O program: what it is for, and what it asks of the system.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail};
use object::macho::{self, MachHeader64};
use object::read::NameOrOrdinal;
use object::read::macho::{LoadCommandVariant, MachHeader, MachOFile64};
use object::{LittleEndian, Object};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug)]
pub(crate) struct Program {
    /// As Rust spells it.
    pub(crate) architecture: &'static str,
    /// The loader refuses it on anything older.
    pub(crate) minimum_macos: Version,
    /// Symbols that the loader binds, by their names in C.
    pub(crate) imports: BTreeSet<String>,
    /// Libraries that the loader loads with it, by their paths.
    pub(crate) libraries: Vec<String>,
}

impl Program {
    /// Reads a 64-bit program for one architecture; libraries, object files and universal files are errors.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let file = MachOFile64::<LittleEndian>::parse(bytes).context("not a 64-bit Mach-O file")?;
        let header: &MachHeader64<_> = file.macho_header();
        match header.filetype(LittleEndian) {
            macho::MH_EXECUTE => {}
            other => bail!("a Mach-O file, but no program (file type {})", other.0),
        }
        let architecture = match header.cputype(LittleEndian) {
            macho::CPU_TYPE_ARM64 => "aarch64",
            macho::CPU_TYPE_X86_64 => "x86_64",
            other => bail!("a program for an unknown processor (CPU type {:#x})", other.0),
        };
        let (minimum_macos, libraries) = load_commands(&file)?;
        Ok(Self {
            architecture,
            minimum_macos,
            imports: imports(&file).context("damaged bindings")?,
            libraries,
        })
    }
}

/// The oldest macOS that it starts on, and the libraries that are loaded with it.
fn load_commands(file: &MachOFile64<'_, LittleEndian>) -> Result<(Version, Vec<String>)> {
    let (mut minimum, mut libraries) = (None, Vec::new());
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        let version = match command.variant()? {
            LoadCommandVariant::Dylib(library) => {
                let name = command.string(LittleEndian, library.dylib.name)?;
                libraries.push(String::from_utf8_lossy(name).into_owned());
                continue;
            }
            LoadCommandVariant::VersionMin(oldest) if command.cmd() == macho::LC_VERSION_MIN_MACOSX => {
                oldest.version.get(LittleEndian)
            }
            LoadCommandVariant::BuildVersion(build, _) => match build.platform.get(LittleEndian) {
                macho::PLATFORM_MACOS => build.minos.get(LittleEndian),
                other => bail!("a program for another of Apple's platforms ({})", other.0),
            },
            _ => continue,
        };
        let (major, minor) = (version.major(), version.minor());
        minimum = minimum.max(Some(Version { major, minor }));
    }
    let minimum =
        minimum.context("neither LC_BUILD_VERSION nor LC_VERSION_MIN_MACOSX says which macOS it needs")?;
    Ok((minimum, libraries))
}

fn imports(file: &MachOFile64<'_, LittleEndian>) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for import in file.imports()? {
        let NameOrOrdinal::Name(name) = import?.name() else {
            continue;
        };
        // Symbols of C carry an underscore in front.
        let name = name.strip_prefix(b"_").unwrap_or(name);
        names.insert(String::from_utf8_lossy(name).into_owned());
    }
    Ok(names)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::darwin) const ARM64: u32 = 0x0100_000c;
    pub(in crate::darwin) const X86_64: u32 = 0x0100_0007;
    pub(in crate::darwin) const LOAD_DYLIB: u32 = 0x0c;
    pub(in crate::darwin) const LOAD_WEAK_DYLIB: u32 = 0x8000_0018;
    pub(in crate::darwin) const EXECUTE: u32 = 2;
    const MACOS: u32 = 1;

    /// The load command of a version such as `0x000b_0000`, 11.0.
    pub(in crate::darwin) fn needs_macos(minimum: u32) -> Vec<u32> {
        build_version(MACOS, minimum)
    }

    fn build_version(platform: u32, minimum: u32) -> Vec<u32> {
        vec![0x32, 24, platform, minimum, 0x000d_0000, 0]
    }

    /// The load command of a library.
    pub(in crate::darwin) fn loads(command: u32, name: &str) -> Vec<u32> {
        let mut words = vec![command, 56, 24, 0, 0, 0];
        let mut padded = name.as_bytes().to_vec();
        padded.resize(32, 0);
        words.extend(
            padded
                .chunks(4)
                .map(|word| u32::from_le_bytes(word.try_into().expect("four"))),
        );
        words
    }

    /// Binds of symbols in the first library: eager, then lazy ones.
    fn bindings(symbols: &[&str]) -> Vec<u8> {
        let bind = |symbol: &str| [b"\x11\x40_", symbol.as_bytes(), b"\0\x51\x70\x00\x90"].concat();
        symbols.iter().flat_map(|symbol| bind(symbol)).collect()
    }

    /// A program as a linker lays it out: header, load commands, and last what the loader binds.
    pub(in crate::darwin) fn program(
        cpu: u32,
        file_type: u32,
        commands: &[Vec<u32>],
        eager: &[&str],
        lazy: &[&str],
    ) -> Vec<u8> {
        let mut commands = commands.to_vec();
        commands.push(loads(LOAD_DYLIB, "/usr/lib/libSystem.B.dylib"));
        let size = commands.concat().len() as u32 * 4 + 48;
        let (eager, lazy) = (bindings(eager), bindings(lazy));
        let (eager_at, eager_size, lazy_size) = (32 + size, eager.len() as u32, lazy.len() as u32);
        let lazy_at = eager_at + eager_size;
        let dyld_info_only = [
            0x8000_0022,
            48,
            0,
            0,
            eager_at,
            eager_size,
            0,
            0,
            lazy_at,
            lazy_size,
            0,
            0,
        ];
        commands.push(dyld_info_only.to_vec());
        let header = [
            0xfeed_facf,
            cpu,
            0,
            file_type,
            commands.len() as u32,
            size,
            0x85,
            0,
        ];
        let words = header.into_iter().chain(commands.concat());
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        [bytes, eager, lazy].concat()
    }

    fn sound() -> Vec<u8> {
        let lazy = ["task_info", "task_threads"];
        program(
            ARM64,
            EXECUTE,
            &[needs_macos(0x000b_0000)],
            &["mach_task_self_"],
            &lazy,
        )
    }

    #[test]
    fn a_program_says_what_it_is_for_and_what_it_imports() {
        let read = Program::read(&sound()).expect("a program");
        assert_eq!(read.architecture, "aarch64");
        assert_eq!(read.minimum_macos, Version { major: 11, minor: 0 });
        let imports: Vec<&str> = read.imports.iter().map(String::as_str).collect();
        assert_eq!(imports, ["mach_task_self_", "task_info", "task_threads"]);
        assert_eq!(read.libraries, ["/usr/lib/libSystem.B.dylib"]);
    }

    #[test]
    fn the_older_version_command_is_read_too() {
        let version_min_macosx = vec![0x24, 16, 0x000a_0c03, 0x000a_0c03];
        let bytes = program(X86_64, EXECUTE, &[version_min_macosx], &["abort"], &[]);
        let read = Program::read(&bytes).expect("a program");
        assert_eq!(read.architecture, "x86_64");
        assert_eq!(read.minimum_macos.to_string(), "10.12");
        assert!(read.minimum_macos < Version { major: 11, minor: 0 });
    }

    #[test]
    fn a_file_that_is_not_a_program_for_a_mac_is_named() {
        const DYLIB: u32 = 6;
        const I386: u32 = 7;
        const IOS: u32 = 2;
        let sound = needs_macos(0x000b_0000);
        let uuid = vec![0x1b, 24, 1, 2, 3, 4];
        let universal = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        let with = |cpu, file_type, command: Vec<u32>| program(cpu, file_type, &[command], &[], &[]);
        for (bytes, expected) in [
            (Vec::new(), "not a 64-bit Mach-O file"),
            (universal.repeat(8), "not a 64-bit Mach-O file"),
            (b"\x7fELF".repeat(16), "not a 64-bit Mach-O file"),
            (with(ARM64, DYLIB, sound.clone()), "no program (file type 6)"),
            (with(I386, EXECUTE, sound), "unknown processor (CPU type 0x7)"),
            (
                with(ARM64, EXECUTE, build_version(IOS, 0x000e_0000)),
                "another of Apple's platforms (2)",
            ),
            (
                with(ARM64, EXECUTE, uuid),
                "neither LC_BUILD_VERSION nor LC_VERSION_MIN_MACOSX",
            ),
        ] {
            let error = format!("{:#}", Program::read(&bytes).expect_err(expected));
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_truncated_program_is_an_error_wherever_it_ends() {
        let bytes = sound();
        for end in 0..bytes.len() {
            let error = Program::read(&bytes[..end]).expect_err("half a program");
            assert!(!error.to_string().is_empty(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(Program::read(&bytes).is_err());
        }

        #[test]
        fn damage_anywhere_is_no_reason_to_panic(
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = sound();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(read) = Program::read(&bytes) {
                prop_assert!(read.imports.len() <= bytes.len());
            }
        }
    }
}

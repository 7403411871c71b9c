//! Compiles and links for macOS: with the system's own tools on a Mac, and with packages from the registries on Linux.
//!
//! - Rust's own linker (`rust-lld`) links, against the list of libSystem's symbols in PyPI's `ziglang`.
//! - `zig cc`, which has the headers of macOS, compiles the C and C++ of dependencies. It never links: its linker writes
//!   the address of the unwinder's personality routine 4 bytes off, and a panic that unwinds crashes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use super::{TARGETS, Target};
use crate::cargo;
use crate::checkout::Checkout;
use crate::console;

/// Names under which programs ask for libSystem. `libiconv` is not part of it, but the crate `libc` always asks for it: a
/// program that really called it would not link.
const LIBRARIES: &[&str] = &["libSystem", "libc", "libiconv", "libm", "libpthread"];

pub(crate) struct Toolchain {
    dir: PathBuf,
    /// Directories of this machine that compilers write into executables, and the names that replace them there.
    pub(crate) remapped: Vec<(PathBuf, &'static str)>,
    environment: BTreeMap<String, PathBuf>,
    link_flags: &'static [&'static str],
}

impl Toolchain {
    /// Finds this machine's tools; on Linux, writes an SDK and compiler scripts into the target directory.
    pub(crate) fn prepare(sh: &Shell, checkout: &Checkout) -> Result<Self> {
        let dir = cargo::target_dir(checkout)?.join("tools/darwin");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut toolchain = Self {
            dir,
            remapped: remapped(checkout)?,
            environment: BTreeMap::new(),
            link_flags: &["-Clink-arg=-Wl,-S", "-Clink-arg=-Wl,-dead_strip_dylibs"],
        };
        if cfg!(target_os = "macos") {
            let maps = prefix_maps(&toolchain.remapped).join(" ");
            toolchain.environment.insert("CFLAGS".to_owned(), maps.into());
        } else if cfg!(target_os = "linux") {
            toolchain.cross(sh)?;
        } else {
            bail!(
                "check-macos runs on Linux and on a Mac; here, `cargo clippy -p runtime-metrics --target \
                 aarch64-apple-darwin` checks the backend alone (after `rustup target add aarch64-apple-darwin`)"
            )
        }
        Ok(toolchain)
    }

    fn cross(&mut self, sh: &Shell) -> Result<()> {
        let zig = ziglang(sh)?;
        let symbols = std::fs::read(zig.join("lib/libc/darwin/libSystem.tbd")).context(
            "this ziglang has no list of libSystem's symbols; `cargo xtask setup` installs one that has",
        )?;
        let sdk = self.dir.join("sdk");
        for library in LIBRARIES {
            write(&sdk.join(format!("usr/lib/{library}.tbd")), &symbols, 0o644)?;
        }
        self.environment.insert("SDKROOT".to_owned(), sdk);
        self.link_flags = &["-Clinker=rust-lld", "-Clinker-flavor=ld64.lld", "-Clink-arg=-S"];
        let (zig, cache) = (zig.join("zig"), self.dir.join("zig-cache"));
        for target in TARGETS {
            for (variable, driver) in [("CC", "cc"), ("CXX", "c++"), ("AR", "ar")] {
                let script = self.dir.join(format!("{driver}-{}", target.architecture));
                let text = match driver {
                    "ar" => format!("#!/bin/sh\nexec {} ar \"$@\"\n", console::quoted(&zig)),
                    _ => compiler_script(&zig, driver, target, &cache, &prefix_maps(&self.remapped)),
                };
                write(&script, text.as_bytes(), 0o755)?;
                let variable = format!("{variable}_{}", target.triple.replace('-', "_"));
                self.environment.insert(variable, script);
            }
        }
        Ok(())
    }

    /// Cargo for a target, without debugging tables and without the paths of this machine that the compiler adds by itself.
    /// The flags are the same for every command, so that each dependency is built once.
    pub(crate) fn cargo<'a>(
        &self,
        sh: &'a Shell,
        command: &str,
        target: &Target,
        options: &[&str],
    ) -> Cmd<'a> {
        let (cargo, triple) = (cargo::program(), target.triple);
        let mut flags: Vec<String> = self.link_flags.iter().map(|&flag| flag.to_owned()).collect();
        let remapped = self.remapped.iter();
        flags.extend(remapped.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())));
        cmd!(sh, "{cargo} {command} --locked --target {triple} {options...}")
            .envs(&self.environment)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
    }

    /// Links a trivial program, and compiles a C file. A machine that cannot is told from code that cannot be built.
    pub(crate) fn probe(&self, sh: &Shell, target: &Target) -> Result<()> {
        let (triple, flags, source) = (target.triple, self.link_flags, self.dir.join("probe.rs"));
        write(&source, b"fn main() {}\n", 0o644)?;
        let program = self.dir.join(format!("probe-{triple}"));
        let link = cmd!(sh, "rustc --target {triple} {flags...} -o {program} {source}");
        probe(link.envs(&self.environment), &format!("link for {triple}"))?;

        let (source, object) = (self.dir.join("probe.c"), self.dir.join("probe.o"));
        write(
            &source,
            b"#include <mach/mach.h>\nint probe = MACH_PORT_NULL;\n",
            0o644,
        )?;
        let compiler = match cfg!(target_os = "macos") {
            true => "cc".into(),
            false => self.dir.join(format!("cc-{}", target.architecture)),
        };
        let compile = cmd!(sh, "{compiler} -c -o {object} {source}");
        probe(compile, &format!("compile C for {triple}"))
    }
}

fn remapped(checkout: &Checkout) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut remapped = vec![
        (checkout.root().to_owned(), "truegauge"),
        (cargo::target_dir(checkout)?, "target"),
    ];
    remapped.extend(cargo::home().map(|dir| (dir, "cargo")));
    Ok(remapped)
}

/// The directory of PyPI's package.
fn ziglang(sh: &Shell) -> Result<PathBuf> {
    let script = "import ziglang; print(ziglang.__path__[0])";
    let path = cmd!(sh, "python3 -c {script}").quiet().ignore_stderr().read();
    path.map(PathBuf::from)
        .map_err(|_| anyhow::anyhow!("PyPI's ziglang is missing; to install it: cargo xtask setup"))
}

/// Options of a C compiler, which writes paths of sources into what it compiles (`__FILE__`).
fn prefix_maps(remapped: &[(PathBuf, &str)]) -> Vec<String> {
    let map = |(path, name): &(PathBuf, &str)| format!("-ffile-prefix-map={}={name}", path.display());
    remapped.iter().map(map).collect()
}

fn compiler_script(zig: &Path, driver: &str, target: &Target, cache: &Path, options: &[String]) -> String {
    let (zig, cache) = (console::quoted(zig), console::quoted(cache));
    let (architecture, oldest_macos) = (target.architecture, target.oldest_macos);
    let options = options.iter().map(console::quoted).collect::<Vec<_>>().join(" ");
    format!(
        r#"#!/bin/sh
# The crate `cc` passes Apple's name of the target, which zig does not know. zig sanitizes unless told otherwise.
for argument do
  shift
  case $argument in
    --target=*) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
export ZIG_GLOBAL_CACHE_DIR={cache} ZIG_LOCAL_CACHE_DIR={cache}
exec {zig} {driver} -target {architecture}-macos.{oldest_macos} -fno-sanitize=all {options} "$@"
"#
    )
}

/// Writes a temporary file, then renames it: another run may be reading the file.
fn write(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let write = || -> Result<()> {
        let dir = path.parent().context("a file has a directory")?;
        std::fs::create_dir_all(dir)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&temporary, contents)?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&temporary, path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn probe(command: Cmd<'_>, what: &str) -> Result<()> {
    let output = command.quiet().ignore_status().output();
    let complaint = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    bail!(
        "this machine cannot {what}:\n{}\nto install the tools: cargo xtask setup (rust-lld comes with a Rust from rustup)",
        complaint.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::darwin::INTEL;

    #[test]
    fn the_compiler_script_replaces_the_target_and_the_paths_of_this_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("c c");
        // `echo` stands for zig.
        let maps = prefix_maps(&[("/my home".into(), "cargo")]);
        let text = compiler_script(Path::new("echo"), "cc", &INTEL, Path::new("/the cache"), &maps);
        write(&script, text.as_bytes(), 0o755).expect("written");
        let sh = Shell::new().expect("a shell");
        let said = cmd!(sh, "{script} -c --target=x86_64-apple-macosx10.12 'a b.c' -o x.o")
            .quiet()
            .read()
            .expect("ran");
        assert_eq!(
            said,
            "cc -target x86_64-macos.10.12 -fno-sanitize=all -ffile-prefix-map=/my home=cargo -c a b.c -o x.o"
        );
    }

    #[test]
    fn a_probe_that_fails_blames_the_machine_and_repeats_its_message() {
        let sh = Shell::new().expect("a shell");
        probe(cmd!(sh, "true"), "agree").expect("agrees");
        let script = "echo no such linker >&2; exit 1";
        let error = probe(cmd!(sh, "sh -c {script}"), "link").expect_err("fails");
        let error = error.to_string();
        assert!(
            error.contains("cannot link:\nno such linker\n") && error.contains("cargo xtask setup"),
            "{error}"
        );
        let error = probe(cmd!(sh, "this-program-does-not-exist"), "link").expect_err("fails");
        assert!(
            error.to_string().contains("this-program-does-not-exist"),
            "{error}"
        );
    }
}

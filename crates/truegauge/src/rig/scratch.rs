//! A short private directory for sockets.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// The longest temporary root below which the paths of sockets are short enough. The longest of them is `tg-123456/control`.
const LONGEST_ROOT: usize = 80;

/// A directory (0700) under the temporary root, or under /tmp where that is too long or is not UTF-8: a socket's path is limited to
/// 104 bytes on macOS (`sys/un.h`), and a profile's arguments are text. It vanishes with this guard, and when the harness is killed too: a shell waits for end-of-file on a
/// pipe that the harness holds, and then removes it.
pub(crate) struct ScratchDir {
    path: PathBuf,
    sweeper: Child,
}

impl ScratchDir {
    pub(crate) fn create() -> Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(root: &Path) -> Result<Self> {
        let root = match root.to_str() {
            Some(text) if text.len() <= LONGEST_ROOT => root,
            _ => Path::new("/tmp"),
        };
        let dir = tempfile::Builder::new()
            .prefix("tg-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(root)
            .with_context(|| {
                let root = root.display();
                format!("cannot create a directory for the control socket in {root} (TMPDIR names another)")
            })?;
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                "trap '' INT TERM HUP; while read -r _; do :; done; PATH=\"$PATH:/bin:/usr/bin\"; rm -rf -- \"$1\"",
                "sweeper",
            ])
            .arg(dir.path());
        command.process_group(0);
        let sweeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start /bin/sh")?;
        Ok(Self {
            path: dir.keep(),
            sweeper,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn it_is_private_short_and_gone_with_its_guard() {
        let scratch = ScratchDir::create().expect("a directory");
        let path = scratch.path().to_owned();
        std::fs::write(path.join("socket"), "").expect("writable");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(
            path.as_os_str().len() + "/control".len() < 104,
            "{}",
            path.display()
        );
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn long_or_illegible_temporary_root_is_avoided_and_absent_one_is_named() {
        for root in [
            OsString::from("x".repeat(110)),
            OsString::from_vec(b"Stra\xdfe".to_vec()),
        ] {
            let scratch = ScratchDir::create_in(Path::new(&root)).expect("a directory");
            let path = scratch.path().to_str().expect("UTF-8");
            assert!(path.len() + "/control".len() < 104, "{path}");
        }
        let error = ScratchDir::create_in(Path::new("/absent"))
            .err()
            .expect("refused");
        let error = format!("{error:#}");
        assert!(error.contains("in /absent (TMPDIR"), "{error}");
    }
}

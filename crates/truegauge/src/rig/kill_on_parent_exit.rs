//! For children that do not end with their standard input: what ends them when the harness is killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A shell that holds the read end of a pipe, and kills a process group at its end-of-file. While this guard lives, and
/// after it was dropped, nothing happens.
pub(super) struct KillOnParentExit {
    holder: Child,
}

impl KillOnParentExit {
    /// Takes the process group of a child that leads one.
    pub(super) fn on(pid: u32) -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        // The shell's own commands alone: on a PATH without `cat` the wait would end at once, and kill the client.
        let script = "trap '' INT TERM HUP; while read -r _; do :; done; kill -s KILL -- \"-$1\"";
        command.args(["-c", script, "leash"]).arg(pid.to_string());
        let holder = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start /bin/sh")?;
        Ok(Self { holder })
    }
}

impl Drop for KillOnParentExit {
    fn drop(&mut self) {
        // Before its end-of-file: by then the group's number may be another's. The shell ends with the pipe.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper() -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").process_group(0).spawn().expect("it starts")
    }

    #[test]
    fn it_lets_go_with_its_guard_and_kills_with_its_pipe() {
        let mut kept = sleeper();
        drop(KillOnParentExit::on(kept.id()).expect("a leash"));
        assert!(kept.try_wait().expect("asked").is_none(), "still there");

        // What the end of the harness does: the pipe ends, and nobody drops the guard.
        let mut leash = KillOnParentExit::on(kept.id()).expect("a leash");
        drop(leash.holder.stdin.take());
        assert_eq!(kept.wait().expect("it ends").signal(), Some(9));
    }
}

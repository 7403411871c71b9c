//! Files that appear whole.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Serialize;

use crate::reporter::{Reporter, RunEvent};

/// Writes beside, then renames.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).with_context(|| format!("cannot write {}", path.display()))?;
    write_text(path, &(text + "\n"))
}

/// Writes beside, then renames. Whoever can read the directory can read the file: these are for others.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().context("a file has a directory")?;
    let write = || -> Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(readable())
            .tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// What other files are created with; the umask still applies.
fn readable() -> std::fs::Permissions {
    std::fs::Permissions::from_mode(0o666)
}

/// A directory of its own for one run, named `20261122T201800Z-abcd`: no character that an artifact store refuses.
pub(crate) struct RunDir {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

impl RunDir {
    pub(crate) fn create(parent: &Path, now: Timestamp) -> Result<Self> {
        ensure!(
            parent.is_dir() || !parent.exists(),
            "cannot create a run in {}, which is no directory",
            parent.display()
        );
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let dir = tempfile::Builder::new()
            .prefix(&format!("{stamp}-"))
            .rand_bytes(4)
            .tempdir_in(parent);
        let path = dir
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?
            .keep();
        let id = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or(stamp);
        Ok(Self { id, path })
    }
}

/// Removes all but the newest runs of a directory that holds runs. One that cannot be removed is a warning.
pub(crate) fn prune_runs(parent: &Path, kept: usize, reporter: &dyn Reporter) {
    if let Err(error) = prune(parent, kept) {
        reporter.emit(&RunEvent::Warning(&error));
    }
}

fn prune(parent: &Path, kept: usize) -> Result<()> {
    let entries = std::fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))?;
    let mut runs: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    runs.retain(|path| {
        path.file_name()
            .is_some_and(|name| is_run_id(&name.to_string_lossy()))
    });
    runs.sort();
    let surplus = runs.len().saturating_sub(kept);
    for run in &runs[..surplus] {
        std::fs::remove_dir_all(run)
            .with_context(|| format!("cannot remove the old run {}", run.display()))?;
    }
    Ok(())
}

fn is_run_id(name: &str) -> bool {
    let Some((stamp, random)) = name.split_once('-') else {
        return false;
    };
    stamp.len() == 16 && stamp.ends_with('Z') && stamp.starts_with("20") && random.len() == 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Recorder;

    #[test]
    fn run_directories_are_fresh_and_plainly_named() {
        let parent = tempfile::tempdir().expect("a directory");
        let now = Timestamp::from_second(1_795_378_680).expect("a time");
        let runs: Vec<RunDir> = (0..3)
            .map(|_| RunDir::create(parent.path(), now).expect("created"))
            .collect();
        for run in &runs {
            let (stamp, random) = run.id.split_once('-').expect("two parts");
            assert_eq!(stamp, "20261122T201800Z");
            assert!(
                random.len() == 4 && random.chars().all(char::is_alphanumeric),
                "{}",
                run.id
            );
        }
        assert!(runs[0].path != runs[1].path && runs[1].path != runs[2].path);
    }

    #[test]
    fn only_the_oldest_runs_are_pruned() {
        let parent = tempfile::tempdir().expect("a directory");
        let names = [
            "20261122T201800Z-abcd",
            "20261122T201801Z-aaaa",
            "20261122T201802Z-cccc",
            "my-notes",
        ];
        for name in names {
            std::fs::create_dir(parent.path().join(name)).expect("created");
        }
        let recorder = Recorder::default();
        prune_runs(parent.path(), 2, &recorder);
        prune_runs(&parent.path().join("absent"), 2, &recorder);
        let events = recorder.events();
        assert!(
            events.len() == 1 && events[0].contains("cannot list"),
            "{events:?}"
        );
        let left: Vec<bool> = names
            .iter()
            .map(|name| parent.path().join(name).exists())
            .collect();
        assert_eq!(left, [false, true, true, true]);
    }

    #[test]
    fn json_files_appear_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        write_json(&dir.path().join("a.json"), &[1, 2]).expect("written");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("a.json")).expect("read"),
            "[\n  1,\n  2\n]\n"
        );
        let error = write_json(&dir.path().join("gone/a.json"), &1).expect_err("no directory");
        assert!(format!("{error:#}").contains("gone/a.json"));
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("listed").count(),
            1,
            "nothing is left beside it"
        );
    }
}

//! Every input that is committed goes through its target on every run of the tests, without libFuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};

/// `cargo xtask fuzz` tries no larger ones, and would cut these.
const MAX_INPUT_BYTES: u64 = 8192;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is in a directory, in order; nothing where there is none.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    paths
}

/// Feeds every file of a directory to a target; returns how many there were, and those that it did not stand.
fn replay(dir: &Path, target: Target) -> (usize, Vec<PathBuf>) {
    let inputs = entries(dir);
    let total = inputs.len();
    let failed = inputs.into_iter().filter(|path| {
        let input = fs::read(path).expect("an input");
        catch_unwind(|| target(&input)).is_err()
    });
    (total, failed.collect())
}

#[test]
fn every_committed_input_is_stood() {
    for (name, target) in TARGETS {
        for kind in ["corpus", "regressions"] {
            let dir = root().join(kind).join(name);
            let (inputs, failed) = replay(&dir, target);
            assert!(inputs > 0 || kind == "regressions", "{} is empty", dir.display());
            assert_eq!(
                failed,
                [] as [PathBuf; 0],
                "fuzz::{name} panicked, as told above: docs/fuzzing.md"
            );
        }
    }
}

#[test]
fn every_corpus_has_its_target_and_small_inputs() {
    for kind in ["corpus", "regressions"] {
        for dir in entries(&root().join(kind)) {
            let name = dir.file_name().expect("a name");
            assert!(
                TARGETS.iter().any(|(target, _)| *target == name),
                "{} belongs to no target",
                dir.display()
            );
            for input in entries(&dir) {
                let bytes = input.metadata().expect("a file").len();
                assert!(
                    bytes <= MAX_INPUT_BYTES,
                    "{} has {bytes} bytes, at most {MAX_INPUT_BYTES} are fuzzed",
                    input.display()
                );
            }
        }
    }
}

#[test]
fn an_input_that_is_not_stood_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, input) in [("bad", "boom"), ("good", "quiet")] {
        fs::write(dir.path().join(name), input).expect("written");
    }
    let target: Target = |input| assert_ne!(input, b"boom", "on purpose");
    assert_eq!(replay(dir.path(), target), (2, vec![dir.path().join("bad")]));
    assert_eq!(replay(&dir.path().join("nowhere"), target), (0, vec![]));
}

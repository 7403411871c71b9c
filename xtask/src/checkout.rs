//! The checkout that xtask works on, found at run time: no path is compiled in.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::cargo;

/// The workspace's root, and what cargo says of it.
pub(crate) struct Checkout {
    root: PathBuf,
    target_dir: OnceLock<PathBuf>,
}

impl Checkout {
    /// The workspace of the package that `cargo run` runs, or else the one around the current directory.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(package) => package.into(),
            None => std::env::current_dir().context("the current directory cannot be read")?,
        };
        Self::around(&start)
    }

    /// The innermost workspace that holds `dir`.
    fn around(dir: &Path) -> Result<Self> {
        let is_root = |dir: &&Path| {
            std::fs::read_to_string(dir.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
        };
        let Some(root) = dir.ancestors().find(is_root) else {
            bail!(
                "no Cargo workspace holds {}: run `cargo xtask` in a checkout",
                dir.display()
            );
        };
        Ok(Self {
            root: root.to_owned(),
            target_dir: OnceLock::new(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory, as cargo itself names it: environment and configuration can each move it.
    pub(crate) fn target_dir(&self) -> Result<&Path> {
        if let Some(known) = self.target_dir.get() {
            return Ok(known);
        }
        let mut command = cargo::command(self);
        command
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit());
        let output = cargo::started(command.output())?;
        if !output.status.success() {
            bail!("`cargo metadata` ended with {}", output.status);
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` names no target directory")?;
        Ok(self.target_dir.get_or_init(|| metadata.target_directory))
    }

    /// A path as a person would type it from the checkout.
    pub(crate) fn shorten<'a>(&self, path: &'a Path) -> Cow<'a, str> {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy()
    }

    /// A command's word as a person would type it from the checkout.
    pub(crate) fn shorten_word<'a>(&self, word: &'a OsStr) -> Cow<'a, str> {
        if word == cargo::program() {
            return "cargo".into();
        }
        self.shorten(Path::new(word))
    }
}

#[derive(serde::Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_around_a_directory_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("a checkout");
        let inner = root.join("crates/a/src");
        std::fs::create_dir_all(&inner).expect("created");
        std::fs::write(root.join("crates/a/Cargo.toml"), "[package]\n").expect("written");
        let error = Checkout::around(&inner).err().expect("there is no workspace yet");
        assert!(
            error.to_string().starts_with("no Cargo workspace holds"),
            "{error}"
        );

        std::fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = []\n").expect("written");
        let checkout = Checkout::around(&inner).expect("found");
        assert_eq!(checkout.root(), root);
        assert_eq!(checkout.shorten(&inner), "crates/a/src");
        assert_eq!(checkout.shorten(Path::new("/elsewhere")), "/elsewhere");
    }
}

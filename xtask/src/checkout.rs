//! The checkout that xtask works on, found at run time: no path is compiled in.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The cargo that runs xtask, or the first on PATH.
pub(crate) fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A workspace, by its root.
pub(crate) struct Checkout {
    root: PathBuf,
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
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path as a person would type it from the checkout.
    pub(crate) fn shorten<'a>(&self, path: &'a Path) -> Cow<'a, str> {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy()
    }

    /// A command's word as a person would type it from the checkout.
    pub(crate) fn shorten_word<'a>(&self, word: &'a OsStr) -> Cow<'a, str> {
        if word == cargo_program() {
            return "cargo".into();
        }
        self.shorten(Path::new(word))
    }
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

//! Where things are.

use std::path::{Path, PathBuf};

/// The checkout that this harness was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or the default.
pub(crate) fn target_dir() -> PathBuf {
    let configured = std::env::var_os("CARGO_TARGET_DIR")
        .filter(|dir| !dir.is_empty())
        .map(|dir| root().join(dir));
    configured.unwrap_or_else(|| root().join("target"))
}

/// A path as a person would type it from the checkout.
pub(crate) fn shown(path: &Path) -> String {
    if path == cargo() {
        return "cargo".to_owned();
    }
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The cargo that runs us, or the one on PATH.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

//! The password of a SPICE server.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};

/// A password that does not show in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

impl Password {
    /// Reads it from a file that holds nothing else.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the password file {}", path.display()))?;
        let password = text.trim_end_matches(['\r', '\n']);
        ensure!(
            !password.is_empty() && !password.contains(['\r', '\n']),
            "the password file {} must hold one line: the password",
            path.display()
        );
        Ok(Self(password.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file_and_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "open sesame\n").expect("written");
        let password = Password::read(&path).expect("one line");
        assert_eq!(password.as_str(), "open sesame");
        assert!(!format!("{password:?}").contains("sesame"));
        for bad in ["", "\n", "two\nlines\n"] {
            std::fs::write(&path, bad).expect("written");
            assert!(Password::read(&path).is_err(), "{bad:?}");
        }
    }
}

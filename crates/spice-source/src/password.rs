//! The secret of the ticket check, which shows in no output of any kind.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use subtle::ConstantTimeEq;

/// A password for the SPICE ticket. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Why something cannot be a password. It never contains what was offered.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// An empty password would look like protection, and be none.
    #[error("the password is empty: leave the option out to let every client in")]
    Empty,
    /// spice-server takes no more (`SPICE_MAX_PASSWORD_LENGTH`).
    #[error("the password is longer than {max} bytes, the most that SPICE allows", max = Password::MAX_BYTES)]
    TooLong,
    /// NUL ends the password on the wire; a line break is most likely a mistake.
    #[error("the password contains a control character")]
    ControlCharacter,
    /// SPICE tickets are text.
    #[error("the password is not UTF-8 text")]
    NotText,
    /// The file cannot be read.
    #[error("cannot read the password file")]
    Unreadable(#[from] io::Error),
}

impl Password {
    /// The longest password, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 60;

    /// # Errors
    ///
    /// [`PasswordError`] when it is empty, too long, or has control characters in it.
    pub fn new(secret: impl Into<String>) -> Result<Self, PasswordError> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err(PasswordError::Empty);
        }
        if secret.len() > Self::MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        if secret.chars().any(char::is_control) {
            return Err(PasswordError::ControlCharacter);
        }
        Ok(Self(secret))
    }

    /// Reads it from a file that holds nothing else; one line break at the end is not part of it.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] when the file cannot be read or its contents cannot be a password.
    pub fn from_file(path: &Path) -> Result<Self, PasswordError> {
        // A little more than can be good, so that a wrong path (a disk image, /dev/zero) costs nothing.
        let longest_file = Self::MAX_BYTES + "\r\n".len();
        let mut bytes = Vec::new();
        File::open(path)?
            .take(longest_file as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > longest_file {
            return Err(PasswordError::TooLong);
        }
        let text = String::from_utf8(bytes).map_err(|_| PasswordError::NotText)?;
        let secret = text
            .strip_suffix('\n')
            .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        Self::new(secret)
    }

    /// Whether `offered` is this password, in time that depends on the lengths alone.
    pub(crate) fn matches(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_the_same_password_matches() {
        let password = Password::new("open sesame").unwrap();
        assert!(password.matches("open sesame"));
        for other in ["", "open sesam", "open sesame ", "Open sesame", "open sesame\0"] {
            assert!(!password.matches(other), "{other:?}");
        }
    }

    #[test]
    fn debug_does_not_tell() {
        assert_eq!(
            format!("{:?}", Password::new("open sesame").unwrap()),
            "Password(…)"
        );
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        assert!(matches!(Password::new(""), Err(PasswordError::Empty)));
        assert!(matches!(
            Password::new("x".repeat(61)),
            Err(PasswordError::TooLong)
        ));
        assert!(matches!(
            Password::new("a\nb"),
            Err(PasswordError::ControlCharacter)
        ));
        assert!(Password::new("x".repeat(60)).is_ok());
    }

    #[test]
    fn a_file_gives_its_one_line() {
        let read = |contents: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(contents).unwrap();
            Password::from_file(file.path())
        };
        for contents in ["secret", "secret\n", "secret\r\n"] {
            assert_eq!(
                read(contents.as_bytes()).unwrap(),
                Password::new("secret").unwrap(),
                "{contents:?}"
            );
        }
        let longest = "x".repeat(60);
        assert!(read(format!("{longest}\r\n").as_bytes()).is_ok());
        assert!(matches!(read(&[b'x'; 100]), Err(PasswordError::TooLong)));
        assert!(matches!(read(b"\n"), Err(PasswordError::Empty)));
        assert!(matches!(
            read(b"two\nlines\n"),
            Err(PasswordError::ControlCharacter)
        ));
        assert!(matches!(read(b"\xff\xfe"), Err(PasswordError::NotText)));
        assert!(matches!(
            Password::from_file(Path::new("/nonexistent")),
            Err(PasswordError::Unreadable(_))
        ));
    }
}

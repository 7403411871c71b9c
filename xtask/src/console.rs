//! Messages of xtask itself, on standard error.

use std::ffi::OsStr;
use std::process::Command;

use anstyle::{AnsiColor, Style};

use crate::checkout::Checkout;

/// As the standard library's, without its panic: whoever reads may be gone or slow, and the exit code says what came of the
/// command.
macro_rules! give_up_quietly {
    ($write:ident, $stream:ident, $($text:tt)*) => {{
        use std::io::Write as _;
        let _ = $write!(anstream::$stream(), $($text)*);
    }};
}

macro_rules! print {
    ($($text:tt)*) => { $crate::console::give_up_quietly!(write, stdout, $($text)*) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::console::give_up_quietly!(writeln, stdout, $($text)*) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::console::give_up_quietly!(writeln, stderr, $($text)*) };
}

pub(crate) use {eprintln, give_up_quietly, print, println};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// An error and its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{FAILED}error:{FAILED:#} {error:#}");
}

/// Echoes a child's command line, so that it can be run again by hand.
pub(crate) fn running(checkout: &Checkout, command: &Command) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(checkout.shorten_word(word).as_ref()));
    eprintln!("{DIMMED}$ {}{DIMMED:#}", words.collect::<Vec<_>>().join(" "));
}

/// A word as a shell would read it back, on one line.
pub(crate) fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into_owned()
    } else if word.chars().any(char::is_control) {
        let escaped = |c: char| match c {
            '\\' | '\'' => format!("\\{c}"),
            _ if c.is_control() => format!("\\U{:08x}", u32::from(c)),
            _ => c.to_string(),
        };
        format!("$'{}'", word.chars().map(escaped).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Lines of the log that the page of GitHub Actions folds; they end when the value is dropped.
pub(crate) struct Group(());

impl Group {
    /// Begins a group; `None` outside of GitHub Actions.
    pub(crate) fn begin(title: &str) -> Option<Self> {
        let is_here = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        is_here.then(|| {
            println!("::group::{title}");
            Self(())
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        println!("::endgroup::");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, expected) in [
            ("a-b/c=1", "a-b/c=1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("it's\na \\", r"$'it\'s\U0000000aa \\'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}

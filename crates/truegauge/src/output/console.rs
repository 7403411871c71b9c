//! Steps as they run.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anstream::eprintln;

use super::DIMMED;

/// One line on what happens now.
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

/// Echoes a child's command line, so that it can be run again by hand.
pub(crate) fn running(command: &Command) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    // As it would be typed from the checkout.
    let words = words.map(|word| quoted(OsStr::new(&crate::workspace::shown(Path::new(word)))));
    eprintln!("{DIMMED}$ {}{DIMMED:#}", words.collect::<Vec<_>>().join(" "));
}

/// The end of a log, for a failure.
pub(crate) fn log_tail(path: &Path) {
    const LINES: usize = 15;
    let Ok(text) = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("{}, last lines:", crate::workspace::shown(path));
    if lines.is_empty() {
        eprintln!("{DIMMED}  (empty){DIMMED:#}");
    }
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("{DIMMED}  {line}{DIMMED:#}");
    }
}

/// A word as a shell would read it back.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
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
        ] {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }
}

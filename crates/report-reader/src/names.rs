//! Names of members. They are shown and compared, never used as paths; still, one that tries to be a path elsewhere is hostile.

use crate::ReadError;
use crate::error::{ensure, quoted};
use crate::report::METRICS;

/// The longest name of a member.
const MAX_NAME_BYTES: usize = 1024;

/// The files of a report by the names that the judge knows. Some tools write them in upper case.
const KNOWN: &[&str] = &[
    METRICS,
    "metadata.json",
    "session.json",
    "notifications.json",
    "channel-state.json",
    "screenshot.png",
];

/// Files and folders that archivers and file managers add.
const ADDED_BY_TOOLS: &[&str] = &[
    "__macosx",
    "meta-inf",
    ".ds_store",
    "thumbs.db",
    "desktop.ini",
    "icon\r",
];

/// The path of a member, with `/` between its parts; `None` for one that a tool added.
///
/// # Errors
/// If the name leaves the folder that the zip would be unpacked to, or holds control characters.
pub(crate) fn normalized(name: &str) -> Result<Option<String>, ReadError> {
    ensure!(
        name.len() <= MAX_NAME_BYTES,
        "a member's name has {} bytes, at most {MAX_NAME_BYTES} are read",
        name.len()
    );
    let parts: Vec<&str> = name
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let first = parts.first().map_or(b"".as_slice(), |part| part.as_bytes());
    let has_drive = matches!(first, [letter, b':', ..] if letter.is_ascii_alphabetic());
    ensure!(
        !name.starts_with(['/', '\\']) && !has_drive && !parts.contains(&".."),
        "path traversal: a member's name is {}",
        quoted(name)
    );
    let added =
        |part: &&str| part.starts_with("._") || ADDED_BY_TOOLS.contains(&part.to_lowercase().as_str());
    if parts.is_empty() || parts.iter().any(added) {
        return Ok(None);
    }
    ensure!(
        !name.contains(char::is_control),
        "a member's name has control characters: {}",
        quoted(name)
    );
    Ok(Some(parts.join("/")))
}

/// True if the last part of a path is runtime-metrics.json.
#[must_use]
pub fn is_metrics(path: &str) -> bool {
    base_name(path).eq_ignore_ascii_case(METRICS)
}

/// The folder of a path, with its `/`; empty at the top.
pub(crate) fn folder(path: &str) -> &str {
    &path[..path.len() - base_name(path).len()]
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a report's file as the judge knows it.
pub(crate) fn canonical(name: &str) -> &str {
    let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
    known.copied().unwrap_or(name)
}

/// True if this is the name of a file that the judge knows, at the top of its report.
#[must_use]
pub fn is_canonical(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// True if the judge knows a file of this name.
#[must_use]
pub fn is_known(path: &str) -> bool {
    KNOWN
        .iter()
        .any(|known| known.eq_ignore_ascii_case(base_name(path)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_one_file_are_one_path() {
        for (name, path) in [
            ("session.json", "session.json"),
            ("./session.json", "session.json"),
            ("idle/session.json", "idle/session.json"),
            ("idle\\session.json", "idle/session.json"),
            ("idle//./session.json", "idle/session.json"),
            ("at 12:30/Zoë.txt", "at 12:30/Zoë.txt"),
        ] {
            assert_eq!(normalized(name).expect(name).as_deref(), Some(path));
        }
    }

    #[test]
    fn files_that_tools_add_are_left_out() {
        for name in [
            "__MACOSX/idle/._session.json",
            "._session.json",
            "idle/.DS_Store",
            "META-INF/MANIFEST.MF",
            "Thumbs.db",
            "Icon\r",
            "./",
        ] {
            assert_eq!(normalized(name).expect(name), None, "{name}");
        }
    }

    #[test]
    fn path_traversal_is_refused() {
        for name in [
            "/etc/passwd",
            "\\windows",
            "C:\\x",
            "c:x",
            ".\\c:",
            "..",
            "a/../b",
            "a\\..\\b",
            "__MACOSX/../x",
        ] {
            let error = normalized(name).expect_err(name).to_string();
            assert!(error.contains("path traversal"), "{error}");
        }
        for name in ["a\x1b[2J", "a\0", "a\nb"] {
            let error = normalized(name).expect_err(name).to_string();
            assert!(error.contains("control characters"), "{error}");
        }
        let error = normalized(&"x".repeat(5000)).expect_err("long").to_string();
        assert!(error.contains("5000 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn a_normalized_name_stays_the_same(name in r#"[a-z./\\: _]{0,12}"#) {
            if let Ok(Some(path)) = normalized(&name) {
                let again = normalized(&path);
                prop_assert_eq!(again.ok().flatten(), Some(path.clone()));
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}

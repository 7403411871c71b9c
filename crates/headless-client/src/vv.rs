//! virt-viewer connection files (`.vv`).
//!
//! They are GLib key files with a `[virt-viewer]` group: `man remote-viewer`, "Connection file". The parser
//! follows GLib's rules (`g_key_file_get_string`): the last of equal keys wins, and values know the escapes
//! `\s \n \t \r \\`. Keys that this client has no use for are passed over.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::target::{InvalidTarget, Password, Target, parse_port};

/// The longest file that is read. Real ones, a certificate included, have a few KiB.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads the connection file at `path`.
///
/// # Errors
///
/// When it cannot be read or is no connection file that this client can use. Messages never carry a value
/// from the file, which may be the password.
pub fn read(path: &Path) -> Result<Target, ReadError> {
    let target = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Cause::TooLong);
        }
        Ok(parse(
            std::str::from_utf8(&bytes).map_err(|_| InvalidVv::Encoding)?,
        )?)
    };
    target().map_err(|cause| ReadError {
        path: path.to_owned(),
        cause,
    })
}

/// Parses the text of a connection file.
///
/// # Errors
///
/// See [`InvalidVv`].
pub fn parse(text: &str) -> Result<Target, InvalidVv> {
    let values = virt_viewer_group(text)?;
    let get = |key| {
        values
            .get(key)
            .map(|raw| unescape(raw).ok_or(InvalidVv::Escape(key)))
            .transpose()
    };

    match get("type")?.as_deref().map(str::trim) {
        Some("spice") => {}
        Some(_) => return Err(InvalidVv::NotSpice),
        None => return Err(InvalidVv::Missing("type")),
    }
    if values.contains_key("proxy") {
        return Err(InvalidVv::Proxy);
    }
    let Some(port) = get("port")? else {
        return Err(if values.contains_key("tls-port") {
            InvalidVv::TlsOnly
        } else {
            InvalidVv::Missing("port")
        });
    };
    let host = get("host")?.ok_or(InvalidVv::Missing("host"))?;
    let password = get("password")?.map(Password::new);
    Ok(Target::new(host.trim(), parse_port(port.trim())?, password)?)
}

/// The raw values of the `[virt-viewer]` group.
fn virt_viewer_group(text: &str) -> Result<HashMap<&str, &str>, InvalidVv> {
    let mut values = HashMap::new();
    let mut group = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            group = Some(
                header
                    .trim_end()
                    .strip_suffix(']')
                    .ok_or(InvalidVv::Line(index + 1))?,
            );
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(InvalidVv::Line(index + 1))?;
        match group {
            None => return Err(InvalidVv::Line(index + 1)),
            Some("virt-viewer") => _ = values.insert(key.trim_end(), value.trim_start()),
            Some(_) => {}
        }
    }
    if values.is_empty() {
        Err(InvalidVv::NoGroup)
    } else {
        Ok(values)
    }
}

fn unescape(raw: &str) -> Option<String> {
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => match chars.next()? {
                's' => ' ',
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(value)
}

/// A connection file that could not be used, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the connection file {}: {cause}", path.display())]
pub struct ReadError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    Invalid(#[from] InvalidVv),
}

/// The reason why a text is not a usable connection file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVv {
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding,
    /// A line is neither `[group]`, nor `key=value` within a group, nor a comment.
    #[error("line {0} is neither [group] nor key=value within a group")]
    Line(usize),
    /// A value has an escape that GLib key files do not know.
    #[error("the value of {0:?} has an escape other than \\s \\n \\t \\r \\\\: write a backslash as \\\\")]
    Escape(&'static str),
    /// There is nothing in a `[virt-viewer]` group.
    #[error("it has no [virt-viewer] group, or an empty one")]
    NoGroup,
    /// A key that must be there is not.
    #[error("{0:?} is missing from its [virt-viewer] group")]
    Missing(&'static str),
    /// `type` is not `spice`.
    #[error("its type is not spice")]
    NotSpice,
    /// The server speaks TLS only.
    #[error(
        "it has a tls-port and no port: this client does not speak TLS; offer the server's plain port as well"
    )]
    TlsOnly,
    /// The server is behind a proxy.
    #[error("it has a proxy, and this client connects directly: give it an address that it can reach itself")]
    Proxy,
    /// Host or port are impossible.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_virt_viewer_writes_is_understood() {
        for (text, address, password) in [
            (
                "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport=5900\n",
                "127.0.0.1:5900",
                None,
            ),
            (
                "[virt-viewer]\r\ntype=spice\r\nhost=h\r\nport=1\r\npassword=pw\r\n",
                "h:1",
                Some("pw"),
            ),
            (
                " # comment\n\n[virt-viewer]\n type = spice\n host = ::1 \nport =\t5900",
                "[::1]:5900",
                None,
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=[::1]\nport=5900",
                "[::1]:5900",
                None,
            ),
            // The last of equal keys wins; other groups and unknown keys do not matter.
            (
                "[virt-viewer]\ntype=spice\nhost=a\nport=1\nhost=b\n[ovirt]\nhost=c\nport=x",
                "b:1",
                None,
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\ntls-port=2\ndelete-this-file=1",
                "h:1",
                None,
            ),
            // Passwords keep what they are made of.
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=a=b;#c ",
                "h:1",
                Some("a=b;#c "),
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=\\sa\\\\b\\t",
                "h:1",
                Some(" a\\b\t"),
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=",
                "h:1",
                Some(""),
            ),
        ] {
            let target = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(target.to_string(), address, "{text:?}");
            assert_eq!(
                target.connection_config().password.as_deref(),
                password,
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        for (text, error) in [
            ("", InvalidVv::NoGroup),
            ("[other]\ntype=spice", InvalidVv::NoGroup),
            ("type=spice\n[virt-viewer]", InvalidVv::Line(1)),
            ("[virt-viewer\ntype=spice", InvalidVv::Line(1)),
            ("[virt-viewer]\ntype=spice\nnonsense", InvalidVv::Line(3)),
            ("[virt-viewer]\nhost=h\nport=1", InvalidVv::Missing("type")),
            ("[virt-viewer]\ntype=vnc\nhost=h\nport=1", InvalidVv::NotSpice),
            ("[virt-viewer]\ntype=spice\nport=1", InvalidVv::Missing("host")),
            ("[virt-viewer]\ntype=spice\nhost=h", InvalidVv::Missing("port")),
            (
                "[virt-viewer]\ntype=spice\nhost=h\ntls-port=1",
                InvalidVv::TlsOnly,
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\nproxy=http://p:3128",
                InvalidVv::Proxy,
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=99999",
                InvalidVv::Target(InvalidTarget::Port),
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=\nport=1",
                InvalidVv::Target(InvalidTarget::Host),
            ),
            (
                "[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=a\\b",
                InvalidVv::Escape("password"),
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.vv");
        let text = "[virt-viewer]\ntype=spice\nhost=h\nport=1\n";

        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap().to_string(), "h:1");

        std::fs::write(&path, format!("{text}#{}", "x".repeat(64 * 1024))).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.contains("session.vv") && message.contains("65536 bytes"),
            "{message}"
        );

        std::fs::write(&path, b"[virt-viewer]\n\xff").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("UTF-8"));

        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("session.vv"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in "(\\[virt-viewer\\]\n)?([a-z-]{0,9}[=\\\\ \\[\\]#]{0,2}.{0,12}\n){0,9}",
        ) {
            let _ = parse(&text);
        }

        #[test]
        fn every_password_survives_escaping_and_shows_in_no_message(password in "[^\0]{8,40}") {
            let escaped = password
                .replace('\\', "\\\\")
                .replace(' ', "\\s")
                .replace('\n', "\\n")
                .replace('\t', "\\t")
                .replace('\r', "\\r");
            // Other white space at the front is chugged, as in GLib, and has no escape.
            prop_assume!(!escaped.starts_with(char::is_whitespace));
            let text = format!("[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword={escaped}");
            let target = parse(&text).unwrap();
            prop_assert_eq!(target.connection_config().password, Some(password.clone()));

            let failed = parse(&format!("{text}\nport=none")).unwrap_err().to_string();
            prop_assert!(!failed.contains(&password));
        }
    }
}

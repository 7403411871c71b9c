//! The virt-viewer file that tells a client its server and password: the one place for a password that no process list
//! shows.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes the file, readable by this user alone.
pub(super) fn write(path: &Path, target: &str, password: Option<&str>) -> Result<()> {
    let text = text(target, password)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn text(target: &str, password: Option<&str>) -> Result<String> {
    let (host, port) = target.rsplit_once(':').context("the target is no HOST:PORT")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut text = format!("[virt-viewer]\ntype=spice\nhost={host}\nport={port}\n");
    if let Some(password) = password {
        text += &format!("password={password}\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_holds_what_a_client_needs() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.vv");
        write(&path, "[::1]:5900", Some("secret")).expect("written");
        assert_eq!(
            std::fs::read_to_string(&path).expect("read"),
            "[virt-viewer]\ntype=spice\nhost=::1\nport=5900\npassword=secret\n"
        );
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!text("h:1", None).expect("good").contains("password"));
        assert!(text("nowhere", None).is_err());
    }
}

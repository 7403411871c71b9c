//! The identity of each binary that took part in a run: evidence of what was judged.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A binary as it was before the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BinaryIdentity {
    /// Absolute.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// In lower-case hexadecimal digits.
    pub(crate) sha256: String,
    /// RFC 3339.
    pub(crate) modified_at: String,
}

impl BinaryIdentity {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let mut file = File::open(path)?;
            let metadata = file.metadata()?;
            Ok(Self {
                path: path.canonicalize()?.display().to_string(),
                bytes: metadata.len(),
                sha256: sha256(&mut file)?,
                modified_at: Timestamp::try_from(metadata.modified()?)?.to_string(),
            })
        };
        read().with_context(|| format!("cannot read the binary {}", path.display()))
    }
}

fn sha256(file: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            bytes => hash.update(&buffer[..bytes]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_known_by_path_size_and_hash() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("client");
        std::fs::write(&path, "abc").expect("written");
        let identity = BinaryIdentity::read(&path).expect("read");
        assert!(identity.path.ends_with("/client") && identity.path.starts_with('/'));
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((identity.bytes, identity.sha256.as_str()), (3, abc));

        std::fs::write(&path, "abd").expect("written");
        assert_ne!(BinaryIdentity::read(&path).expect("read").sha256, abc);
        let error = BinaryIdentity::read(&dir.path().join("absent")).expect_err("absent");
        assert!(format!("{error:#}").contains("absent"), "{error:#}");
    }
}

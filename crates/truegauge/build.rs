//! Embeds every `profiles/*.toml`, in the order of their names: a new profile needs no entry anywhere.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=profiles");
    println!("cargo::rerun-if-changed=build.rs");
    let dir = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("profiles");
    let entries = fs::read_dir(&dir).expect("a directory of profiles");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    let mut table = "&[\n".to_owned();
    for path in paths {
        let name = path.file_stem().expect("a file has a name").to_string_lossy();
        writeln!(table, "    ({name:?}, include_str!({path:?})),").expect("a String takes any text");
    }
    table += "]\n";
    let out = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("profiles.rs");
    fs::write(out, table).expect("OUT_DIR is writable");
}

//! Embeds every `assertions/*.jq`, in the order of their names: a new file needs no entry anywhere.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=assertions");
    println!("cargo::rerun-if-changed=build.rs");
    let dir = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("assertions");
    let entries = fs::read_dir(&dir).expect("a directory of assertions");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("listed")
                .file_name()
                .into_string()
                .expect("a name in UTF-8")
        })
        .filter(|name| name.ends_with(".jq"))
        .collect();
    names.sort();
    let mut table = "&[\n".to_owned();
    for name in names {
        let path = dir.join(&name);
        writeln!(table, "    ({name:?}, include_str!({path:?})),").expect("a String takes any text");
    }
    table += "]\n";
    let out = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("assertions.rs");
    fs::write(out, table).expect("OUT_DIR is writable");
}

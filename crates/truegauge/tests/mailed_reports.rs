//! `truegauge verify-report` on reports as people send them: packed again by common tools, in common ways, and pasted as text.
#![cfg(unix)]

mod harness;
mod mailed;
mod reports;

use mailed::judge_each;

#[test]
fn zips_of_info_zip_are_judged() {
    judge_each("zip", "zip --version", include_str!("mailed/zip.txt"));
}

#[test]
fn zips_of_python_are_judged() {
    judge_each(
        "python3",
        "python3 -c 'import bz2, lzma, zipfile, zlib'",
        include_str!("mailed/python3.txt"),
    );
}

#[test]
fn zips_of_libarchive_are_judged() {
    judge_each("bsdtar", "bsdtar --version", include_str!("mailed/bsdtar.txt"));
}

#[cfg(not(target_os = "macos"))]
#[test]
fn zips_of_7_zip_are_judged() {
    judge_each("7z", "7z i", include_str!("mailed/7z.txt"));
}

/// Java's jar, or fastjar.
#[cfg(not(target_os = "macos"))]
#[test]
fn zips_of_jar_are_judged() {
    judge_each(
        "jar",
        "command -v jar || command -v fastjar",
        include_str!("mailed/jar.txt"),
    );
}

/// Finder's "Compress" is Archive Utility, and this is its command line.
#[cfg(target_os = "macos")]
#[test]
fn zips_of_finder_are_judged() {
    judge_each("ditto", "ditto -h", include_str!("mailed/ditto.txt"));
}

#[test]
fn directories_are_judged() {
    judge_each(
        "unzip, or zip,",
        "unzip -v && zip --version",
        include_str!("mailed/unzipped.txt"),
    );
}

#[test]
fn figures_as_text_are_judged() {
    judge_each(
        "iconv, or python3,",
        "iconv --version && python3 --version",
        include_str!("mailed/text.txt"),
    );
}

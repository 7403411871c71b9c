//! The pages of docs/ agree with the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ASSERTIONS: &str = "crates/checks/assertions";
const RUNBOOK: &str = "docs/macos-metrics-verification.md";

/// The checkout, as cargo names it at run time: a moved checkout has moved pages.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package");
    Path::new(&package).parent().expect("the workspace").to_owned()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn files_of(dir: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
    entries
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn the_runbook_judges_with_every_assertion_file_and_ends_with_what_to_do() {
    let runbook = page(RUNBOOK);
    let last = runbook.lines().rfind(|line| line.starts_with("## "));
    assert_eq!(last, Some("## What to do if a test fails"));
    let commands: Vec<&str> = runbook
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("jq "))
        .collect();
    let assertions = files_of(ASSERTIONS);
    let expected: Vec<String> = assertions
        .iter()
        .map(|file| format!("jq -f {ASSERTIONS}/{file} evidence.json"))
        .collect();
    assert_eq!(commands, expected, "one command a test, in order");
    for (test, file) in (1..).zip(&assertions) {
        let section = runbook
            .split(&format!("### Test {test}:"))
            .nth(1)
            .unwrap_or_else(|| panic!("test {test}"));
        let section = section.split("\n### ").next().expect("a section");
        assert!(section.contains(file), "test {test} is judged by {file}");
        for part in ["**Claim**", "**Fails when**", "**Look at**"] {
            assert!(section.contains(part), "test {test} lacks {part}");
        }
    }
}

#[test]
fn modules_and_pages_that_are_named_are_there() {
    let pages = files_of("docs").into_iter().filter(|file| file.ends_with(".md"));
    let pages = pages.map(|file| format!("docs/{file}"));
    for name in pages.chain(["README.md".to_owned()]) {
        let text = page(&name);
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']).trim_end_matches("*.jq");
            let file = if word.starts_with("macos/") && word.ends_with(".rs") {
                format!("crates/runtime-metrics/src/{word}")
            } else if ["crates/", "fuzz/", "xtask/", "docs/"]
                .iter()
                .any(|dir| word.starts_with(dir))
            {
                word.to_owned()
            } else {
                continue;
            };
            assert!(
                root().join(&file).exists(),
                "{name} names {file}, which is not there"
            );
        }
    }
}

#[test]
fn the_example_of_another_client_is_the_tested_one_and_short() {
    let dir = "crates/truegauge/tests/other_client";
    let profile = page(&format!("{dir}/report.toml"));
    assert!(
        page("docs/other-clients.md").contains(&format!("```toml\n{profile}```")),
        "docs/other-clients.md shows a profile other than {dir}/report.toml"
    );
    let program = page(&format!("{dir}/report.py"));
    let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(
        lines <= 30,
        "the page promises thirty lines, and there are {lines}"
    );
}

#[test]
fn every_key_of_a_profile_is_explained() {
    let explained = page("docs/other-clients.md");
    let dir = "crates/truegauge/profiles";
    for profile in files_of(dir) {
        for line in page(&format!("{dir}/{profile}")).lines() {
            if let Some((key, _)) = line.split_once(" = ") {
                assert!(
                    explained.contains(&format!("`{key}`")),
                    "{profile}: {key} is not explained"
                );
            }
        }
    }
}

#[test]
fn every_test_and_example_that_links_for_macos_is_listed() {
    let text = page("docs/cross-build.md");
    let mut sections = text.split("\n## ");
    let listed = sections.find(|section| section.starts_with("The executables\n"));
    let dirs = "runtime-metrics/tests runtime-metrics/examples sampling-process/tests leak-test/examples";
    for dir in dirs.split(' ') {
        for file in files_of(&format!("crates/{dir}")) {
            let name = format!("`{}`", file.trim_end_matches(".rs"));
            assert!(listed.expect("the list").contains(&name), "{dir}: {name}");
        }
    }
}

/// A claim without a recorded run is false, and a recorded run makes the older status line false.
#[test]
fn pages_claim_a_mac_run_exactly_where_the_roadmap_has_its_note() {
    let roadmap = page("docs/roadmap.md");
    let (phases, notes) = roadmap
        .split_once("## Acceptance notes")
        .expect("the section of the notes");
    let is_recorded = notes.contains("### 20");
    let mut phases = phases.lines().filter(|line| line.contains("macOS"));
    let claims = phases.any(|line| line.ends_with("| done |"));
    assert!(is_recorded || !claims, "a phase on macOS is done without a note");
    for name in ["README.md", "crates/runtime-metrics/README.md", RUNBOOK] {
        let status = page(name)
            .split_once("**Status**: ")
            .expect(name)
            .1
            .replace('\n', " ");
        let says_none = status.contains("no run on a Mac is recorded yet");
        assert_eq!(says_none, !is_recorded, "{name} contradicts docs/roadmap.md");
    }
}

/// The text of all sources below a directory, string literals on one line.
fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "jq")
        {
            for line in std::fs::read_to_string(&path).expect("read").lines() {
                let line = line.trim_start();
                match line.strip_suffix('\\') {
                    Some(continued) => text.push_str(continued),
                    None => *text += &format!("{line}\n"),
                }
            }
        }
    }
}

#[test]
fn troubleshooting_quotes_messages_that_the_programs_have() {
    let mut text = String::new();
    for member in std::fs::read_dir(root().join("crates")).expect("listed") {
        let src = member.expect("listed").path().join("src");
        if src.is_dir() {
            sources(&src, &mut text);
        }
    }
    sources(&root().join("xtask/src"), &mut text);
    let text = text.replace("\\\"", "\"");
    let page = page("docs/troubleshooting.md");
    let symptoms = page.lines().filter_map(|line| line.strip_prefix("| "));
    let symptoms = symptoms.map(|row| row.split(" | ").next().unwrap_or_default());
    let quotes: Vec<&str> = symptoms
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(quotes.len() > 20, "{quotes:?}");
    let messages = quotes.iter().filter(|quote| !quote.starts_with("cargo "));
    let parts = messages.flat_map(|quote| quote.split('…'));
    let unsaid: Vec<&str> = parts.filter(|part| !text.contains(part.trim())).collect();
    assert!(unsaid.is_empty(), "no program says {unsaid:?}");
}

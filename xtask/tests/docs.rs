//! What the pages say is what there is.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assertions() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("xtask/assertions")).expect("listed");
    entries
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn the_runbook_judges_with_the_assertion_files_and_with_nothing_else() {
    let runbook = page("docs/macos-metrics-verification.md");
    let commands: Vec<&str> = runbook
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("jq "))
        .collect();
    let expected: Vec<String> = assertions()
        .iter()
        .map(|file| format!("jq -f xtask/assertions/{file} evidence.json"))
        .collect();
    assert_eq!(commands, expected, "one command a test, in order");
    for (test, file) in (1..).zip(assertions()) {
        let section = runbook
            .split(&format!("### Test {test}:"))
            .nth(1)
            .unwrap_or_else(|| panic!("test {test}"));
        let section = section.split("\n### ").next().expect("a section");
        assert!(section.contains(&file), "test {test} is judged by {file}");
        for part in ["**Claim**", "**Fails when**", "**Look at**"] {
            assert!(section.contains(part), "test {test} lacks {part}");
        }
    }
}

#[test]
fn modules_and_pages_that_are_named_are_there() {
    let pages = [
        "README.md",
        "docs/macos-metrics-verification.md",
        "docs/troubleshooting.md",
        "docs/architecture.md",
        "docs/other-clients.md",
        "docs/results.md",
        "docs/performance.md",
        "docs/mutants.md",
        "docs/fuzzing.md",
        "docs/hostile.md",
    ];
    for name in pages {
        let text = page(name);
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            let file = match word {
                module if module.starts_with("macos/") && module.ends_with(".rs") => {
                    format!("crates/runtime-metrics/src/{module}")
                }
                path if path.starts_with("crates/")
                    || path.starts_with("xtask/")
                    || path.starts_with("docs/") =>
                {
                    path.trim_end_matches("*.jq").to_owned()
                }
                _ => continue,
            };
            assert!(
                root().join(&file).exists(),
                "{name} names {file}, which is not there"
            );
        }
    }
}

#[test]
fn the_example_of_another_client_is_the_one_that_is_tested_and_short() {
    let profile = page("xtask/tests/other_client/report.toml");
    assert!(
        page("docs/other-clients.md").contains(&format!("```toml\n{profile}```")),
        "docs/other-clients.md shows another profile than xtask/tests/other_client/report.toml"
    );
    let program = page("xtask/tests/other_client/report.py");
    let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 30, "it says thirty lines, and there are {lines}");
}

#[test]
fn every_key_of_a_profile_is_explained() {
    let explained = page("docs/other-clients.md");
    let profiles = ["xtask/profiles/headless-client.toml", "xtask/profiles/ryll.toml"];
    for line in profiles.map(page).iter().flat_map(|profile| profile.lines()) {
        if let Some((key, _)) = line.split_once(" = ") {
            assert!(explained.contains(&format!("`{key}`")), "{key} is not explained");
        }
    }
}

#[test]
fn the_roadmap_claims_no_mac_run_without_a_note() {
    let roadmap = page("docs/roadmap.md");
    let (phases, notes) = roadmap
        .split_once("## Acceptance notes")
        .expect("the notes' section");
    let noted = notes.contains("### 20");
    assert!(
        noted
            || phases
                .lines()
                .filter(|line| line.contains("macOS"))
                .all(|line| !line.ends_with("| done |")),
        "a phase that needs a Mac is \"done\" without an acceptance note"
    );
}

//! The files that a run leaves, for people to find.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Results;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Artifact {
    /// Relative to the run's directory, with `/`.
    pub(crate) path: String,
    pub(crate) what: String,
}

/// What a run may leave, by name: adding one is one line.
const KNOWN: &[(&str, &str)] = &[
    ("report.html", "this run as a page"),
    (
        "results.json",
        "this run for programs (results.schema.json describes it)",
    ),
    ("junit.xml", "the checks for CI systems"),
    ("summary.md", "this run as Markdown"),
    (
        "evidence.json",
        "everything that was seen, to judge again by hand",
    ),
    ("client.log", "what the client said"),
    ("source.log", "what the SPICE source said"),
    ("samples.ndjson", "every reading of the soak"),
    ("soak.svg", "the soak as a picture"),
    ("soak/samples.ndjson", "every reading of the soak"),
    ("soak/soak.svg", "the soak as a picture"),
];

/// Where a soak's picture lies, beside the results of `soak` or below those of `verify`.
pub(crate) const SOAK_PICTURES: [&str; 2] = ["soak.svg", "soak/soak.svg"];

impl Results {
    /// Names the reports' zips and every known file that is in a run's directory or is `about_to_be` written there.
    pub(crate) fn find_artifacts(&mut self, dir: &Path, about_to_be: &[&str]) {
        let zips = self.reports.iter().filter_map(|report| {
            // One that was sent stays where it is.
            let file = report.file.as_deref().filter(|file| !file.contains('/'))?;
            Some((file, format!("the {} bug report", report.label)))
        });
        let known = KNOWN.iter().map(|(path, what)| (*path, (*what).to_owned()));
        self.artifacts = known
            .chain(zips)
            .filter(|(path, _)| about_to_be.contains(path) || dir.join(path).is_file())
            .map(|(path, what)| Artifact {
                path: path.to_owned(),
                what,
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use crate::results::examples;

    #[test]
    fn only_what_is_there_or_will_be_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        for file in ["idle.zip", "client.log", "notes.txt"] {
            std::fs::write(dir.path().join(file), "").expect("written");
        }
        let elsewhere = dir.path().join("idle.zip").display().to_string();
        let mut results = examples::failed();
        results.reports[1].file = Some(elsewhere);
        results.find_artifacts(dir.path(), &["results.json"]);
        let named: Vec<&str> = results
            .artifacts
            .iter()
            .map(|artifact| artifact.path.as_str())
            .collect();
        assert_eq!(named, ["results.json", "client.log", "idle.zip"]);
    }
}

//! Every look as it happens, one JSON object a line: what a run saw survives however it ends.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use leak_test::Resource;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::look::Look;

/// `samples.ndjson` of a run.
pub(super) struct Journal {
    file: File,
    begun: Instant,
}

/// Which look it was.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Occasion<'a> {
    /// `exact`, `control` or `live`.
    pub(super) tier: &'a str,
    /// What the control leaks, or which experiment it is.
    pub(super) of: &'a str,
    /// `baseline`, `treated`, `idle`, `after`.
    pub(super) after: &'a str,
    /// Operations performed so far.
    pub(super) operations: u64,
}

impl Journal {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            file,
            begun: Instant::now(),
        })
    }

    /// Writes one look.
    pub(super) fn write<'a>(
        &mut self,
        occasion: &Occasion<'_>,
        resources: impl Iterator<Item = &'a Resource>,
        look: &Look,
    ) -> Result<()> {
        let readings: Map<String, Value> = resources
            .zip(&look.readings)
            .map(|(resource, reading)| (resource.name.clone(), json!(reading)))
            .collect();
        let mut line = json!(occasion);
        line["at_secs"] = json!(self.begun.elapsed().as_secs_f64());
        line["readings"] = Value::Object(readings);
        line["seen"] = json!(look);
        line["seen"].as_object_mut().map(|seen| seen.remove("readings"));
        // In one piece, so that a killed run leaves whole lines.
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .context("cannot write samples.ndjson")
    }
}

//! The client that wrote a report, and the report's type: as its metadata.json says.

use std::fmt;

use serde_json::Value;

/// Where a report comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) client: Client,
    pub(crate) report_type: ReportType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// headless-client of this workspace.
    Ours,
    /// ryll, whose reports ours have the shape of.
    Ryll,
    Unknown,
}

/// Why a report was filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportType {
    /// Somebody asked for it.
    Asked,
    /// ryll's `--pedantic` met a message that it does not know.
    Pedantic,
    /// ryll's `--auto-snapshot-interval`.
    AutoSnapshot,
    /// A channel was lost.
    Disconnect,
    /// Somebody asked for it from an older notification.
    Notification,
    /// A runtime-metrics.json without a zip.
    Bare,
}

impl Origin {
    /// Reads ryll's `BugReportType` as serde writes it, a name or an object of one name, and our own names.
    pub(super) fn of(members: Option<&Value>) -> Self {
        let Some(members) = members else {
            return Self {
                client: Client::Unknown,
                report_type: ReportType::Bare,
            };
        };
        let metadata = &members["metadata.json"]["json"];
        let client = if metadata["ryll_version"].is_string() {
            Client::Ryll
        } else if metadata["client"] == "headless-client" {
            Client::Ours
        } else {
            Client::Unknown
        };
        let kind = &metadata["report_type"];
        let name = kind
            .as_str()
            .or_else(|| kind.as_object()?.keys().next().map(String::as_str));
        let report_type = match name {
            Some("Pedantic" | "pedantic") => ReportType::Pedantic,
            Some("AutoSnapshot" | "auto-snapshot") => ReportType::AutoSnapshot,
            Some("Disconnect" | "disconnect") => ReportType::Disconnect,
            Some("Notification") => ReportType::Notification,
            // Our "manual" and "signal"; ryll's other types name what the user reported: Display, Input, Cursor, …
            _ => ReportType::Asked,
        };
        Self { client, report_type }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report_type = match self.report_type {
            ReportType::Asked => "bug report",
            ReportType::Pedantic => "pedantic report",
            ReportType::AutoSnapshot => "auto-snapshot",
            ReportType::Disconnect => "disconnect report",
            ReportType::Notification => "notification report",
            ReportType::Bare => return f.write_str("runtime-metrics.json by itself"),
        };
        match self.client {
            Client::Ours => write!(f, "{report_type} of headless-client"),
            Client::Ryll => write!(f, "{report_type} of ryll"),
            Client::Unknown => write!(f, "{report_type} of an unknown client"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_is_known_by_its_metadata() {
        let of =
            |metadata: Value| Origin::of(Some(&json!({"metadata.json": {"json": metadata}}))).to_string();
        let ryll = |kind: Value| of(json!({"ryll_version": "0.3.0", "report_type": kind}));
        for (told, expected) in [
            (ryll(json!("Display")), "bug report of ryll"),
            (ryll(json!("AutoSnapshot")), "auto-snapshot of ryll"),
            (
                ryll(json!({"Pedantic": {"gap_key": "x"}})),
                "pedantic report of ryll",
            ),
            (
                ryll(json!({"Disconnect": {"channel": "main"}})),
                "disconnect report of ryll",
            ),
            (ryll(json!({"Notification": {}})), "notification report of ryll"),
            (
                of(json!({"client": "headless-client", "report_type": "manual"})),
                "bug report of headless-client",
            ),
            (
                of(json!({"client": "headless-client", "report_type": "signal"})),
                "bug report of headless-client",
            ),
            (
                of(json!({"client": "headless-client", "report_type": "pedantic"})),
                "pedantic report of headless-client",
            ),
            (
                of(json!({"client": "headless-client", "report_type": "auto-snapshot"})),
                "auto-snapshot of headless-client",
            ),
            (
                of(json!({"client": "headless-client", "report_type": "disconnect"})),
                "disconnect report of headless-client",
            ),
            (of(json!(7)), "bug report of an unknown client"),
            (Origin::of(None).to_string(), "runtime-metrics.json by itself"),
        ] {
            assert_eq!(told, expected);
        }
    }
}

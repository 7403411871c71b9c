//! What a report of a kind cannot be asked, and why: a check that fails for such a reason is skipped, and says so.

use super::SubmittedReport;
use super::origin::{Client, ReportType};

/// One exemption; adding one is one entry in [`EXEMPTIONS`].
struct Exemption {
    /// Ids without the report's label, or the beginnings of some.
    checks: &'static [&'static str],
    applies: fn(&SubmittedReport) -> bool,
    reason: &'static str,
}

const EXEMPTIONS: &[Exemption] = &[
    Exemption {
        checks: &["3.window."],
        // Ours has to tell it.
        applies: |sent| sent.origin.client != Client::Ours && sent.metadata()["window"].is_null(),
        reason: "the report does not tell its window",
    },
    Exemption {
        checks: &["6.ascending"],
        applies: |sent| sent.origin.client == Client::Ryll && sent.platform() == "linux",
        reason: "on Linux ryll lists threads by their CPU, not by tid",
    },
    Exemption {
        checks: &["6.session."],
        applies: |sent| sent.origin.report_type == ReportType::Bare,
        reason: "a runtime-metrics.json by itself tells nothing of the session",
    },
    Exemption {
        checks: &["5.present"],
        applies: |sent| {
            sent.origin.client != Client::Ours && sent.metrics["process"]["uptime_secs"].as_f64() > Some(0.0)
        },
        reason: "when its session's uptime is read, and by which clock, is not known",
    },
    Exemption {
        checks: &["5.advance"],
        applies: |sent| sent.origin.client == Client::Unknown,
        reason: "whether its clocks go on in sleep is not known",
    },
    Exemption {
        checks: &["4.footprint"],
        applies: |sent| sent.origin.client != Client::Ours,
        reason: "only our client's reports are known to have it",
    },
    Exemption {
        checks: &["6.session.pid"],
        applies: |sent| sent.origin.client == Client::Unknown,
        reason: "of which pid namespace its pid is, is not known",
    },
    Exemption {
        checks: &["6.session.connected"],
        applies: |sent| sent.origin.client == Client::Unknown && sent.session()["connected"].is_null(),
        reason: "the report does not say whether its session is up",
    },
    Exemption {
        checks: &["6.session.surface"],
        applies: |sent| sent.origin.client == Client::Unknown && sent.session()["surfaces"].is_null(),
        reason: "the report does not list surfaces",
    },
    Exemption {
        checks: &["6.session.connected"],
        // Our disconnect report says that the session is gone: that is checked.
        applies: |sent| {
            may_lack_a_session(sent)
                && (sent.origin.client, sent.origin.report_type) != (Client::Ours, ReportType::Disconnect)
        },
        reason: FILED_WITHOUT_A_SESSION,
    },
    Exemption {
        checks: &["6.session.surface"],
        applies: may_lack_a_session,
        reason: FILED_WITHOUT_A_SESSION,
    },
    Exemption {
        checks: &["6.session.connected", "6.session.surface"],
        applies: |sent| sent.session()["connected"] == false,
        reason: "the report says that its session is gone, and nothing here contradicts it",
    },
    Exemption {
        checks: &[
            "1.variant",
            "1.threads",
            "2.available",
            "2.reason",
            "3.",
            "4.",
            "5.",
            "6.",
        ],
        applies: says_why_it_has_no_figures,
        reason: "such a report may be filed without figures, and it says why",
    },
];

const FILED_WITHOUT_A_SESSION: &str =
    "such a report may be filed before the session is up, after it was lost, or without a window";

fn may_lack_a_session(sent: &SubmittedReport) -> bool {
    use ReportType::{Disconnect, Notification, Pedantic};
    matches!(sent.origin.report_type, Pedantic | Disconnect | Notification)
}

/// Reports that ryll files when something has happened cannot wait for a sample.
fn says_why_it_has_no_figures(sent: &SubmittedReport) -> bool {
    let says_why = sent.metrics["reason"]
        .as_str()
        .is_some_and(|reason| !reason.trim().is_empty());
    matches!(
        sent.origin.report_type,
        ReportType::Disconnect | ReportType::Notification
    ) && sent.metrics["available"] == false
        && sent.metrics["platform"].is_string()
        && says_why
}

/// Why a check of a report cannot be asked.
pub(super) fn find(sent: &SubmittedReport, check: &str) -> Option<String> {
    let id: Vec<&str> = check.split('.').filter(|part| *part != sent.label).collect();
    let id = id.join(".");
    let exemption = EXEMPTIONS.iter().find(|exemption| {
        (exemption.applies)(sent) && exemption.checks.iter().any(|beginning| id.starts_with(beginning))
    })?;
    Some(format!("{} ({})", exemption.reason, sent.origin))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::submitted::tests::sent;

    fn is_exempt(metadata: Value, metrics: Value, check: &str) -> bool {
        find(&sent("report1", metadata, metrics), check).is_some()
    }

    #[test]
    fn only_some_reports_may_lack_their_figures_and_only_with_a_reason() {
        let lost = json!({"ryll_version": "0.3.0", "report_type": {"Disconnect": {"channel": "main"}}, "window": {}});
        let asked = json!({"ryll_version": "0.3.0", "report_type": "Display", "window": {}});
        let none = |reason: &str| json!({"platform": "linux", "available": false, "reason": reason});
        for (metadata, metrics, check, expected) in [
            (
                &lost,
                none("sampling takes a second"),
                "2.report1.available",
                true,
            ),
            (&lost, none("sampling takes a second"), "4.report1.rss", true),
            (
                &lost,
                none("sampling takes a second"),
                "2.report1.old_sentence",
                false,
            ),
            (
                &lost,
                none("sampling takes a second"),
                "1.report1.platform",
                false,
            ),
            (&lost, none(" "), "2.report1.available", false),
            (
                &lost,
                json!({"available": false, "reason": "x"}),
                "2.report1.available",
                false,
            ),
            (&lost, json!({"platform": "linux"}), "2.report1.available", false),
            (
                &asked,
                none("sampling takes a second"),
                "2.report1.available",
                false,
            ),
        ] {
            assert_eq!(
                is_exempt(metadata.clone(), metrics.clone(), check),
                expected,
                "{check} {metrics}"
            );
        }
    }

    #[test]
    fn each_exemption_is_of_its_kind_alone() {
        let ours =
            json!({"client": "headless-client", "platform_os": "linux", "window": {"start_monotonic_ns": 1}});
        let ryll =
            |os: &str, kind: Value| json!({"ryll_version": "0.3.0", "platform_os": os, "report_type": kind});
        for (metadata, check, expected) in [
            (ours.clone(), "3.report1.window.span", false),
            (
                json!({"client": "headless-client"}),
                "3.report1.window.span",
                false,
            ),
            (ryll("linux", json!("Usb")), "3.report1.window.span", true),
            (ryll("linux", json!("Usb")), "6.report1.ascending", true),
            (ryll("macos", json!("Usb")), "6.report1.ascending", false),
            (ours.clone(), "6.report1.ascending", false),
            (ryll("linux", json!("Usb")), "6.session.report1.connected", false),
            (
                ryll("linux", json!({"Pedantic": {}})),
                "6.session.report1.connected",
                true,
            ),
            (ours, "6.session.report1.connected", false),
        ] {
            assert_eq!(
                is_exempt(metadata.clone(), json!({}), check),
                expected,
                "{check} {metadata}"
            );
        }
    }
}

//! `soak.svg`: each resource's readings over the operations, and beside them what it is known to leak.
//!
//! A chart library would choose the colours itself; here they are classes, so that one file is readable on light and on
//! dark ground. What is left to do by hand is two linear scales.

use std::path::Path;

use anyhow::{Context, Result};
use leak_test::{Block, Reading, ResourceAnalysis, figure};
use svg::Document;
use svg::node::element::{Circle, Group, Line, Polyline, Rectangle, Style, Text, Title};

use super::outcome::Outcome;
use super::trial::{Step, Trial};

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 20.0;
/// Of the readings, and of the estimate beside them.
const READINGS: Span = Span(90.0, 660.0);
const ESTIMATE: Span = Span(720.0, 980.0);
const HEADING: f64 = 56.0;
const PANEL: f64 = 128.0;
/// Of the drawing inside a panel.
const TOP: f64 = 26.0;
const BOTTOM: f64 = 100.0;
/// A picture shows no more looks than this of one experiment: all of a long run's would be megabytes.
const MOST_LOOKS: usize = 800;

const STYLE: &str = "
  svg { --ground: #ffffff; --ink: #1f2328; --faint: #d0d7de; --treated: #bf3989; --idle: #0969da; --limit: #9a6700 }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --ink: #e6edf3; --faint: #30363d; --treated: #f778ba; --idle: #58a6ff; --limit: #d29922 }
  }
  text { fill: var(--ink); font: 12px system-ui, sans-serif }
  text.heading { font-size: 15px; font-weight: 600 }
  text.end { text-anchor: end }
  text.middle { text-anchor: middle }
  .ground { fill: var(--ground) }
  .axis { stroke: var(--faint) }
  .course { stroke: var(--faint); fill: none }
  .treated { fill: var(--treated); stroke: var(--treated) }
  .idle { fill: none; stroke: var(--idle) }
  .limit { stroke: var(--limit); stroke-dasharray: 4 3 }
  .interval { stroke: var(--ink); stroke-width: 3; stroke-linecap: round }
  .estimate { fill: var(--ink) }
";

/// From left to right, or from bottom to top.
#[derive(Clone, Copy)]
struct Span(f64, f64);

/// Figures onto a span.
#[derive(Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
    span: Span,
}

impl Scale {
    /// Around all of these, with something to spare.
    fn around(figures: impl Iterator<Item = f64> + Clone, span: Span) -> Self {
        let least = figures.clone().fold(f64::INFINITY, f64::min);
        let most = figures.fold(f64::NEG_INFINITY, f64::max);
        let spare = if most > least {
            (most - least) * 0.08
        } else {
            most.abs().max(1.0)
        };
        Self {
            least: least - spare,
            most: most + spare,
            span,
        }
    }

    fn at(&self, figure: f64) -> f64 {
        let share = (figure - self.least) / (self.most - self.least);
        self.span.0 + share * (self.span.1 - self.span.0)
    }
}

/// Writes the picture of a run, where there was an experiment.
pub(super) fn save(path: &Path, outcome: &Outcome) -> Result<()> {
    if outcome.trials().is_empty() {
        return Ok(());
    }
    svg::save(path, &draw(outcome.trials(), &outcome.sentence))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn draw(trials: &[Trial], sentence: &str) -> Document {
    let height_of = |trial: &Trial| HEADING + PANEL * trial.analysis.resources.len() as f64;
    let height = MARGIN * 2.0 + trials.iter().map(height_of).sum::<f64>();
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(sentence))
        .add(Style::new(STYLE))
        .add(
            Rectangle::new()
                .set("class", "ground")
                .set("width", "100%")
                .set("height", "100%"),
        );
    let mut top = MARGIN;
    for (number, trial) in (1..).zip(trials) {
        document = document.add(heading(number, trial, top));
        top += HEADING;
        for (index, analysed) in trial.analysis.resources.iter().enumerate() {
            let panel = Group::new()
                .set("transform", format!("translate(0 {top})"))
                .add(readings(analysed, index, &trial.steps))
                .add(estimate(analysed));
            document = document.add(panel);
            top += PANEL;
        }
    }
    document
}

fn heading(number: usize, trial: &Trial, top: f64) -> Group {
    let analysis = &trial.analysis;
    let what = format!(
        "Experiment {number}: {} pairs of blocks, {} {}s, seed {}",
        analysis.pairs, analysis.operations, analysis.operation, analysis.seed
    );
    let key = top + 38.0;
    Group::new()
        .add(text(&what, MARGIN, top + 16.0, "heading"))
        .add(dot(MARGIN + 4.0, key - 4.0, Block::Treatment))
        .add(text(
            &format!("after {}s", analysis.operation),
            MARGIN + 14.0,
            key,
            "",
        ))
        .add(dot(MARGIN + 124.0, key - 4.0, Block::Control))
        .add(text("after idling", MARGIN + 134.0, key, ""))
        .add(text(
            &format!("leak per {}, with 99 % bounds", analysis.operation),
            ESTIMATE.0,
            key,
            "",
        ))
}

/// Counts over operations, a dot a look.
fn readings(analysed: &ResourceAnalysis, index: usize, steps: &[Step]) -> Group {
    let group = Group::new().add(text(&analysed.resource.unit, MARGIN, 14.0, ""));
    let thinning = steps.len().div_ceil(MOST_LOOKS).max(1);
    // Whole pairs, so that both kinds of blocks stay.
    let shown = steps
        .iter()
        .enumerate()
        .filter(|(at, _)| (at / 2).is_multiple_of(thinning))
        .filter_map(|(_, step)| match step.readings[index] {
            Reading::Count(count) => Some((step, count as f64)),
            Reading::Saturated | Reading::Missing(_) => None,
        });
    let looks: Vec<(&Step, f64)> = shown.collect();
    if looks.is_empty() {
        return group.add(text("never read", READINGS.0, BOTTOM, ""));
    }
    let x = Scale::around(looks.iter().map(|(step, _)| step.operations as f64), READINGS);
    let y = Scale::around(looks.iter().map(|(_, count)| *count), Span(BOTTOM, TOP));
    let place = |(step, count): &(&Step, f64)| (x.at(step.operations as f64), y.at(*count));
    let course: Vec<String> = looks
        .iter()
        .map(|look| {
            let (x, y) = place(look);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let mut group = group
        .add(line((READINGS.0, BOTTOM), (READINGS.1, BOTTOM), "axis"))
        .add(line((READINGS.0, TOP), (READINGS.0, BOTTOM), "axis"))
        .add(
            Polyline::new()
                .set("class", "course")
                .set("points", course.join(" ")),
        );
    let counts = || looks.iter().map(|(_, count)| *count);
    let (least, most) = (
        counts().fold(f64::INFINITY, f64::min),
        counts().fold(f64::NEG_INFINITY, f64::max),
    );
    group = group.add(text(
        &format!("{least}"),
        READINGS.0 - 8.0,
        y.at(least) + 4.0,
        "end",
    ));
    if most > least {
        group = group.add(text(
            &format!("{most}"),
            READINGS.0 - 8.0,
            y.at(most) + 4.0,
            "end",
        ));
    }
    let last = looks.last().map_or(0, |(step, _)| step.operations);
    group = group.add(text(&format!("{last}"), x.at(last as f64), BOTTOM + 16.0, "end"));
    for look in &looks {
        if let Some(block) = look.0.block {
            let (x, y) = place(look);
            group = group.add(dot(x, y, block));
        }
    }
    group
}

/// The estimate with its bounds, beside 0 and what must be ruled out.
fn estimate(analysed: &ResourceAnalysis) -> Group {
    let middle = (TOP + BOTTOM) / 2.0;
    let Some(estimate) = &analysed.estimate else {
        return Group::new().add(text("not judged", ESTIMATE.0, middle, ""));
    };
    let limit = analysed.resource.lambda_star;
    let bounds = estimate.lower.zip(estimate.upper);
    let figures = [0.0, limit, estimate.per_operation]
        .into_iter()
        .chain(bounds.into_iter().flat_map(|(lower, upper)| [lower, upper]));
    let x = Scale::around(figures, ESTIMATE);
    let upright = |at: f64, class| line((x.at(at), TOP), (x.at(at), BOTTOM), class);
    let told = match bounds {
        Some((lower, upper)) => format!(
            "{} ({} … {})",
            figure(estimate.per_operation),
            figure(lower),
            figure(upper)
        ),
        None => figure(estimate.per_operation),
    };
    let mut group = Group::new()
        .add(line((ESTIMATE.0, BOTTOM), (ESTIMATE.1, BOTTOM), "axis"))
        .add(upright(0.0, "axis"))
        .add(upright(limit, "limit"))
        .add(text("0", x.at(0.0), BOTTOM + 16.0, "middle"))
        .add(text(
            &format!("{} to rule out", figure(limit)),
            x.at(limit),
            BOTTOM + 16.0,
            "end",
        ))
        .add(text(&told, ESTIMATE.0, 14.0, ""));
    if let Some((lower, upper)) = bounds {
        group = group.add(line((x.at(lower), middle), (x.at(upper), middle), "interval"));
    }
    group.add(
        Circle::new()
            .set("class", "estimate")
            .set("cx", rounded(x.at(estimate.per_operation)))
            .set("cy", middle)
            .set("r", 5),
    )
}

fn text(content: &str, x: f64, y: f64, class: &str) -> Text {
    let text = Text::new(content).set("x", rounded(x)).set("y", rounded(y));
    if class.is_empty() {
        text
    } else {
        text.set("class", class)
    }
}

fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", rounded(from.0))
        .set("y1", rounded(from.1))
        .set("x2", rounded(to.0))
        .set("y2", rounded(to.1))
}

/// Rings around dots, so that looks at the same place are both seen.
fn dot(x: f64, y: f64, block: Block) -> Circle {
    let radius = match block {
        Block::Treatment => 2.0,
        Block::Control => 3.5,
    };
    Circle::new()
        .set("class", super::exact::block_name(block))
        .set("cx", rounded(x))
        .set("cy", rounded(y))
        .set("r", radius)
}

/// To a tenth of a pixel.
fn rounded(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use leak_test::{Analysis, Design, Experiment, Resource, Seed};

    use super::super::trial::Facts;
    use super::*;

    fn trial(pairs: usize, unit: &str, reading: impl Fn(i64) -> Reading) -> Trial {
        let design = Design {
            seed: Seed(1),
            operation: "sample".to_owned(),
            operations_per_block: 5.try_into().expect("not 0"),
            resources: vec![Resource::exact("threads", unit, 0.02)],
        };
        let mut experiment = Experiment::new(design, vec![reading(0)]).expect("a design");
        let mut steps = vec![Step {
            block: None,
            operations: 0,
            readings: vec![reading(0)],
        }];
        let mut operations = 0;
        while experiment.pairs() < pairs {
            let block = experiment.next_block();
            operations += if block == Block::Treatment { 5 } else { 0 };
            let readings = vec![reading(operations)];
            experiment.record(readings.clone());
            steps.push(Step {
                block: Some(block),
                operations: operations as u64,
                readings,
            });
        }
        Trial {
            analysis: Analysis::of(&experiment, std::time::Duration::ZERO),
            facts: Facts {
                block_secs: 1.0,
                settle_secs: 1.0,
                operations_per_block: 5,
                warm_up_operations: 0,
                late_blocks: 0,
            },
            steps,
        }
    }

    fn drawn(trials: &[Trial]) -> String {
        draw(trials, "CLEAN: a <leak> & more").to_string()
    }

    #[test]
    fn every_look_is_a_dot_of_its_kind_and_the_estimate_stands_beside_its_limit() {
        let picture = drawn(&[trial(14, "threads", Reading::Count)]);
        let count = |what: &str| picture.matches(what).count();
        // One of each kind is in the key.
        assert_eq!(count(r#"class="treated""#), 14 + 1);
        assert_eq!(count(r#"class="idle""#), 14 + 1);
        assert_eq!(count(r#"class="limit""#), 1);
        assert_eq!(count(r#"class="interval""#), 1);
        assert!(picture.contains("1 (1 … 1)"), "the estimate");
        assert!(picture.contains("prefers-color-scheme: dark"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn whatever_was_read_can_be_drawn() {
        for reading in [
            Reading::Saturated,
            Reading::Missing("gone".to_owned()),
            Reading::Count(i64::MAX),
        ] {
            let picture = drawn(&[trial(14, "a <b> & c", |_| reading.clone())]);
            assert!(!picture.contains("NaN") && !picture.contains("<b>"), "{picture}");
            assert!(picture.contains("&lt;leak&gt; &amp;"), "{picture}");
        }
    }

    #[test]
    fn a_long_run_is_thinned() {
        let long = drawn(&[trial(3_000, "threads", |_| Reading::Count(1))]);
        let dots = long.matches(r#"class="treated""#).count();
        assert!((300..=MOST_LOOKS).contains(&dots), "{dots}");
    }
}

//! The survivors that are known, and why no test has to notice them.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace;

/// Where they are explained.
pub(super) const EXPLAINED: &str = "crates/verdict/mutants.toml";

/// A mutant that survives, and may.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explained {
    /// As cargo-mutants prints it without line and column: `FILE: replace A with B in FUNCTION`.
    pub(super) name: String,
    /// In so many places of the function, which have one name.
    #[serde(default = "one")]
    pub(super) places: usize,
    /// Why no test has to notice.
    pub(super) why: String,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mutant: Vec<Explained>,
}

pub(super) fn read() -> Result<Vec<Explained>> {
    let path = workspace::root().join(EXPLAINED);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {EXPLAINED}"))?;
    parse(&text).context(EXPLAINED)
}

fn parse(text: &str) -> Result<Vec<Explained>> {
    Ok(toml::from_str::<File>(text)?.mutant)
}

/// What is wrong with explanations by themselves: no reason, said twice, or of a function that `source`, given a file's name,
/// does not have.
pub(super) fn faults(explained: &[Explained], source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let fault = |explained: &Explained| {
        let Explained { name, places, why } = explained;
        if why.trim().is_empty() {
            return Some(format!("{name}: there is no reason"));
        }
        if *places == 0 {
            return Some(format!("{name}: it survives in no place"));
        }
        if !seen.insert(name.clone()) {
            return Some(format!(
                "{name}: it is there twice; `places` counts those of one name"
            ));
        }
        let Some((file, function)) = place(name) else {
            return Some(format!("{name}: that is no mutant's name"));
        };
        let Some(source) = source(file) else {
            return Some(format!("{name}: there is no file {file}"));
        };
        let definition = format!("fn {function}");
        let defines = |rest: &str| rest.starts_with(['(', '<']);
        let defined = source.split(&definition).skip(1).any(defines);
        (!defined).then(|| format!("{name}: there is no function {function} in {file}"))
    };
    explained.iter().filter_map(fault).collect()
}

/// The file and the function, without its type, of a mutant's name.
fn place(name: &str) -> Option<(&str, &str)> {
    let (file, change) = name.split_once(": ")?;
    let function = match change.rsplit_once(" in ") {
        Some((_, function)) => function,
        None => {
            let replaced = change.strip_prefix("replace ")?;
            let (function, _) = replaced
                .split_once(" -> ")
                .or_else(|| replaced.split_once(" with "))?;
            function
        }
    };
    Some((file, function.rsplit("::").next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(name: &str) -> Explained {
        Explained {
            name: name.to_owned(),
            places: 1,
            why: "it makes no difference".to_owned(),
        }
    }

    #[test]
    fn what_is_explained_is_there_and_has_a_reason() {
        let source = |file: &str| std::fs::read_to_string(workspace::root().join(file)).ok();
        let explained = read().expect(EXPLAINED);
        assert_eq!(faults(&explained, source), [] as [&str; 0], "{EXPLAINED}");
    }

    #[test]
    fn an_explanation_of_nothing_is_found() {
        let source = |file: &str| (file == "a.rs").then(|| "fn sum(x: u8) {}\nfn fmt<T>() {}\n".to_owned());
        let sound = [
            explained("a.rs: replace + with - in sum"),
            explained("a.rs: replace + with * in sum"),
            explained("a.rs: replace sum -> u8 with 0"),
            explained("a.rs: replace <impl Display for Sum>::fmt -> Result with Ok(Default::default())"),
            explained("a.rs: delete match arm Some(x) in Sum::fmt"),
        ];
        assert_eq!(faults(&sound, source), [] as [&str; 0]);

        for (name, wrong) in [
            ("b.rs: replace + with - in sum", "there is no file b.rs"),
            ("a.rs: replace + with - in su", "there is no function su in a.rs"),
            (
                "a.rs: replace + with - in Sum::total",
                "there is no function total in a.rs",
            ),
            (
                "a.rs: replace total -> u8 with 0",
                "there is no function total in a.rs",
            ),
            ("sum", "that is no mutant's name"),
            ("a.rs: change sum", "that is no mutant's name"),
        ] {
            assert_eq!(faults(&[explained(name)], source), [format!("{name}: {wrong}")]);
        }

        let twice = [sound[0].clone(), sound[0].clone()];
        assert!(faults(&twice, source)[0].contains("it is there twice"));
        let no_reason = Explained {
            why: " \n".to_owned(),
            ..sound[0].clone()
        };
        assert!(faults(&[no_reason], source)[0].ends_with("there is no reason"));
        let nowhere = Explained {
            places: 0,
            ..sound[0].clone()
        };
        assert!(faults(&[nowhere], source)[0].ends_with("it survives in no place"));
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let read = parse("[[mutant]]\nname = 'a.rs: x'\nwhy = 'y'\n").expect("read");
        assert_eq!((read[0].name.as_str(), read[0].places), ("a.rs: x", 1));
        for text in [
            "[[mutant]]\nname = 'x'\n",
            "[[mutant]]\nname = 'x'\nwhy = 'y'\nline = 3\n",
            "[[mutants]]\nname = 'x'\nwhy = 'y'\n",
            "[[mutant]]\nname = 'x'\nwhy = 'y'\nplaces = -1\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Lies on request in the reports that are filed, so that a judge of reports can be shown to find them. **Never ship a
//! program built with this.**

use std::sync::OnceLock;

use crate::report::Member;

/// Makes something else of the text members of a report that is about to be filed.
pub type Spoil = Box<dyn Fn(Vec<Member>) -> Vec<Member> + Send + Sync>;

static SPOIL: OnceLock<Spoil> = OnceLock::new();

/// Spoils every report from now on.
///
/// # Panics
///
/// When they are spoiled already.
pub fn spoil_with(spoil: Spoil) {
    assert!(SPOIL.set(spoil).is_ok(), "reports are spoiled already");
}

pub(crate) fn spoiled(members: Vec<Member>) -> Vec<Member> {
    match SPOIL.get() {
        Some(spoil) => spoil(members),
        None => members,
    }
}

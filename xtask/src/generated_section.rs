//! Pages of docs/ of which a command writes a part.

use std::path::Path;

use anyhow::{Context, Result};

use crate::checkout::Checkout;
use crate::console::eprintln;

/// A page, and the lines around the part of it that a command writes.
pub(crate) struct GeneratedSection {
    /// From the checkout.
    pub(crate) page: &'static str,
    /// With its newline, as `end`.
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

impl GeneratedSection {
    /// The page as it is, and as it is with this text between its markers.
    pub(crate) fn update(&self, checkout: &Checkout, text: &str) -> Result<(String, String)> {
        let page = self.page;
        let old =
            std::fs::read_to_string(self.path(checkout)).with_context(|| format!("cannot read {page}"))?;
        let new = self
            .replace(&old, text)
            .with_context(|| format!("{page} has lost its markers"))?;
        Ok((old, new))
    }

    /// Writes this text between the page's markers.
    pub(crate) fn write(&self, checkout: &Checkout, text: &str) -> Result<()> {
        let (_, new) = self.update(checkout, text)?;
        std::fs::write(self.path(checkout), new).with_context(|| format!("cannot write {}", self.page))?;
        eprintln!("written to {}", self.page);
        Ok(())
    }

    fn path(&self, checkout: &Checkout) -> impl AsRef<Path> {
        checkout.root().join(self.page)
    }

    fn replace(&self, page: &str, text: &str) -> Option<String> {
        let Self { begin, end, .. } = self;
        let (before, rest) = page.split_once(begin)?;
        let (_, after) = rest.split_once(end)?;
        Some(format!(
            "{before}{begin}\n{}\n\n{end}{after}",
            text.trim_matches('\n')
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_replaces_the_section_and_nothing_else() {
        let section = GeneratedSection {
            page: "page.md",
            begin: "<!-- begin -->\n",
            end: "<!-- end -->\n",
        };
        let page = "# Head\n<!-- begin -->\nold\n<!-- end -->\ntail\n";
        let written = section.replace(page, "new\n").expect("it has markers");
        assert_eq!(written, "# Head\n<!-- begin -->\n\nnew\n\n<!-- end -->\ntail\n");
        assert_eq!(section.replace(&written, "new").as_ref(), Some(&written), "again");
        assert_eq!(section.replace("# Head\n", "new"), None);
        assert_eq!(section.replace("<!-- begin -->\n", "new"), None);
    }
}

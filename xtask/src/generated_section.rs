//! Pages of which a command writes a part.

/// The lines around that part, each with its newline.
pub(crate) struct Marked {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

impl Marked {
    /// The page with this text between its markers; `None` if it has lost them.
    pub(crate) fn with(&self, page: &str, text: &str) -> Option<String> {
        let Self { begin, end } = self;
        let (before, rest) = page.split_once(begin)?;
        let (_, after) = rest.split_once(end)?;
        Some(format!("{before}{begin}\n{text}\n{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_replaces_what_is_between_the_markers_and_nothing_else() {
        let marked = Marked {
            begin: "<!-- begin -->\n",
            end: "<!-- end -->\n",
        };
        let page = "# Head\n<!-- begin -->\nold\n<!-- end -->\ntail\n";
        let written = marked.with(page, "new").expect("it has markers");
        assert_eq!(written, "# Head\n<!-- begin -->\n\nnew\n<!-- end -->\ntail\n");
        assert_eq!(marked.with(&written, "new").as_ref(), Some(&written), "and again");
        assert_eq!(marked.with("# Head\n", "new"), None);
        assert_eq!(marked.with("<!-- begin -->\n", "new"), None);
    }
}

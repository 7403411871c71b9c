//! Lines of bounded length from a byte stream.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line that is read, in bytes, without its line break.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// One line, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line as it came; not necessarily UTF-8.
    Complete(Vec<u8>),
    /// A line longer than [`MAX_LINE_BYTES`], which was skipped.
    TooLong,
}

/// Reads [`Line`]s, holding at most one of them in memory.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    partial: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    /// Reads lines from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            partial: Vec::new(),
            too_long: false,
        }
    }

    /// The next line, or `None` at the end of the stream. A last line needs no line break.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// What reading fails with.
    pub async fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                let nothing_left = self.partial.is_empty() && !self.too_long;
                return Ok((!nothing_left).then(|| self.take_line()));
            }
            let line_break = available.iter().position(|&byte| byte == b'\n');
            let length = line_break.unwrap_or(available.len());
            if self.partial.len() + length > MAX_LINE_BYTES {
                self.too_long = true;
                self.partial = Vec::new();
            } else if !self.too_long {
                self.partial.extend_from_slice(&available[..length]);
            }
            self.reader.consume(length + usize::from(line_break.is_some()));
            if line_break.is_some() {
                return Ok(Some(self.take_line()));
            }
        }
    }

    fn take_line(&mut self) -> Line {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) {
            Line::TooLong
        } else {
            Line::Complete(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::BufReader;

    use super::*;

    fn lines_of(input: &[u8], buffer: usize) -> Vec<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut reader = LineReader::new(BufReader::with_capacity(buffer, input));
            let mut lines = Vec::new();
            while let Some(line) = reader.next_line().await.unwrap() {
                lines.push(line);
            }
            lines
        })
    }

    fn complete(text: &str) -> Line {
        Line::Complete(text.into())
    }

    #[test]
    fn lines_end_at_line_breaks_and_at_the_end() {
        for (input, expected) in [
            ("", vec![]),
            ("\n", vec![complete("")]),
            ("one", vec![complete("one")]),
            ("one\n", vec![complete("one")]),
            ("one\n\ntwo", vec![complete("one"), complete(""), complete("two")]),
        ] {
            assert_eq!(lines_of(input.as_bytes(), 2), expected, "{input:?}");
        }
    }

    #[test]
    fn a_line_too_long_is_told_and_the_next_one_read() {
        let longest = "x".repeat(MAX_LINE_BYTES);
        let input = format!("{longest}\n{longest}x\nnext\n{longest}{longest}{longest}");
        let expected = [complete(&longest), Line::TooLong, complete("next"), Line::TooLong];
        for buffer in [1000, 1 << 20] {
            assert!(
                lines_of(input.as_bytes(), buffer) == expected,
                "with a buffer of {buffer}"
            );
        }
    }

    proptest! {
        #[test]
        fn short_lines_are_those_that_splitting_gives(input: Vec<u8>, buffer in 1_usize..20) {
            let mut expected: Vec<_> = input.split(|&b| b == b'\n').map(|l| Line::Complete(l.into())).collect();
            if input.last().is_none_or(|&b| b == b'\n') {
                expected.pop();
            }
            prop_assert_eq!(lines_of(&input, buffer), expected);
        }
    }
}

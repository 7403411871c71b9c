//! Lines of bounded length from a byte stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::bytes::{Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder};

/// The longest line that is read, in bytes, without its line break.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// One line, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line as it came; not necessarily UTF-8.
    Complete(Bytes),
    /// A line longer than [`MAX_LINE_BYTES`], which was skipped.
    TooLong,
}

/// Reads [`Line`]s, holding about one of them in memory.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    unread: BytesMut,
    is_at_end: bool,
    // Not LinesCodec, which reads UTF-8 alone.
    codec: AnyDelimiterCodec,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            unread: BytesMut::new(),
            is_at_end: false,
            codec: AnyDelimiterCodec::new_with_max_length(b"\n".into(), Vec::new(), MAX_LINE_BYTES),
        }
    }

    /// The next line, or `None` at the end of the stream. A last line needs no line break.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The reader's error.
    pub async fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let decoded = if self.is_at_end {
                self.codec.decode_eof(&mut self.unread)
            } else {
                self.codec.decode(&mut self.unread)
            };
            match decoded {
                Ok(Some(line)) => return Ok(Some(Line::Complete(line))),
                Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => return Ok(Some(Line::TooLong)),
                Err(AnyDelimiterCodecError::Io(error)) => return Err(error),
                Ok(None) if self.is_at_end => return Ok(None),
                Ok(None) => self.is_at_end = self.reader.read_buf(&mut self.unread).await? == 0,
            }
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
        Line::Complete(text.to_owned().into())
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
            let mut expected: Vec<_> = input.split(|&b| b == b'\n').map(|l| Line::Complete(l.to_vec().into())).collect();
            if input.last().is_none_or(|&b| b == b'\n') {
                expected.pop();
            }
            prop_assert_eq!(lines_of(&input, buffer), expected);
        }
    }
}

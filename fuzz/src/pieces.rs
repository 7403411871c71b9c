//! An input as a series of pieces: an opcode that chooses, and bytes with a length before them. Every input is one.

/// Takes an input apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    pub(crate) fn of(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// The next two bytes, little-endian.
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// As many bytes as the next two say, or what there is.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// What is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_a_series_of_pieces() {
        let mut pieces = Pieces::of(&[7, 2, 0, 8, 9, 1, 1]);
        assert_eq!((pieces.byte(), pieces.bytes()), (7, &[8, 9][..]));
        assert_eq!(pieces.bytes(), b"");
        assert!(pieces.is_empty());
        assert_eq!((pieces.byte(), pieces.short(), pieces.rest()), (0, 0, &b""[..]));
        assert_eq!(Pieces::of(&[5, 0, 1]).bytes(), [1]);
    }
}

//! A thread's name, kept without allocating.

use std::fmt;

/// The longest name that a platform keeps: macOS, 64 with the NUL (MAXTHREADNAMESIZE, osfmk/kern/thread.h); Linux, 16.
const CAPACITY: usize = 64;

/// A name as the kernel has it: any bytes but NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    bytes: [u8; CAPACITY],
    length: u8,
}

impl Name {
    /// As many of the bytes as a kernel's name has.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let length = bytes.len().min(CAPACITY);
        let mut name = Self {
            bytes: [0; CAPACITY],
            length: length as u8,
        };
        name.bytes[..length].copy_from_slice(&bytes[..length]);
        name
    }

    /// Makes `text` the name, with U+FFFD for what is not UTF-8. Allocates only if the text has never held a name.
    pub(crate) fn write_to(&self, text: &mut String) {
        if text.as_bytes() == self.as_bytes() {
            return;
        }
        text.clear();
        // Enough for any name: each byte can become a U+FFFD.
        text.reserve(CAPACITY * char::REPLACEMENT_CHARACTER.len_utf8());
        for chunk in self.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_reads_as_the_standard_library_reads_its_bytes(bytes in prop::collection::vec(1u8.., 0..80)) {
            let mut text = "what was there before".to_owned();
            Name::new(&bytes).write_to(&mut text);
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes[..bytes.len().min(CAPACITY)]));
        }
    }

    #[test]
    fn a_text_that_has_held_a_name_has_room_for_every_other() {
        let mut text = String::new();
        Name::new(b"x").write_to(&mut text);
        let capacity = text.capacity();
        Name::new(&[0xff; CAPACITY]).write_to(&mut text);
        assert_eq!((text.chars().count(), text.capacity()), (CAPACITY, capacity));
    }
}

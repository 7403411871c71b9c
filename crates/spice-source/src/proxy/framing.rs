//! Where messages begin and end in a stream that is passed on as it comes. Nothing is kept but a header and the first
//! bytes of a body, however large a message is.

/// Bytes of a body that are kept.
const BODY_START: usize = 8;

/// The two forms of a message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// Opcode and size, where both sides offer MINI_HEADER.
    Mini,
    /// With a serial number before and the place of sub-messages behind.
    Full,
}

impl Header {
    fn bytes(self) -> usize {
        match self {
            Self::Mini => 6,
            Self::Full => 18,
        }
    }

    /// Where the opcode stands, the size behind it.
    fn opcode_at(self) -> usize {
        match self {
            Self::Mini => 0,
            Self::Full => 8,
        }
    }
}

/// A message that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) opcode: u16,
    /// The first bytes of its body, at most eight.
    pub(super) body_start: &'a [u8],
}

/// A piece of the stream, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A whole header, which may have begun in bytes fed before.
    Header { opcode: u16, size: u32, bytes: &'a [u8] },
    /// Some of a body.
    Body(&'a [u8]),
    /// A message ended at this offset of the bytes fed.
    End { at: usize, message: Message<'a> },
}

/// Follows one direction of a connection, from a message boundary on.
#[derive(Debug)]
pub(super) struct Framing {
    form: Header,
    header: Vec<u8>,
    body_start: Vec<u8>,
    body_left: u32,
}

impl Framing {
    pub(super) fn new(form: Header) -> Self {
        Self {
            form,
            header: Vec::with_capacity(form.bytes()),
            body_start: Vec::with_capacity(BODY_START),
            body_left: 0,
        }
    }

    pub(super) fn form(&self) -> Header {
        self.form
    }

    /// Whether the next byte begins a message.
    pub(super) fn at_boundary(&self) -> bool {
        self.header.is_empty()
    }

    /// The bytes of a header that is not whole yet.
    pub(super) fn unfinished_header(&self) -> &[u8] {
        if self.header.len() < self.form.bytes() {
            &self.header
        } else {
            &[]
        }
    }

    /// Takes in bytes and tells of every part.
    pub(super) fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(Part<'_>)) {
        let mut at = 0;
        while at < bytes.len() {
            let missing = self.form.bytes() - self.header.len();
            if missing > 0 {
                let taken = missing.min(bytes.len() - at);
                self.header.extend_from_slice(&bytes[at..at + taken]);
                at += taken;
                if taken < missing {
                    return;
                }
                self.body_left = self.size();
                tell(Part::Header {
                    opcode: self.opcode(),
                    size: self.body_left,
                    bytes: &self.header,
                });
            } else {
                let taken = (bytes.len() - at).min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
                let body = &bytes[at..at + taken];
                let kept = taken.min(BODY_START - self.body_start.len());
                self.body_start.extend_from_slice(&body[..kept]);
                self.body_left -= taken as u32;
                at += taken;
                tell(Part::Body(body));
            }
            if self.body_left == 0 {
                tell(Part::End {
                    at,
                    message: Message {
                        opcode: self.opcode(),
                        body_start: &self.body_start,
                    },
                });
                self.header.clear();
                self.body_start.clear();
            }
        }
    }

    fn opcode(&self) -> u16 {
        let at = self.form.opcode_at();
        u16::from_le_bytes([self.header[at], self.header[at + 1]])
    }

    fn size(&self) -> u32 {
        let at = self.form.opcode_at() + 2;
        let bytes = &self.header[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

/// A whole message. Its serial number, where there is one, is 0: those of the server cannot be moved up to make room.
pub(super) fn message(form: Header, opcode: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; form.opcode_at()];
    bytes.extend(opcode.to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.resize(form.bytes(), 0);
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(form: Header, messages: &[(u16, Vec<u8>)]) -> Vec<u8> {
        messages
            .iter()
            .flat_map(|(opcode, body)| message(form, *opcode, body))
            .collect()
    }

    proptest! {
        /// However the stream is cut, the messages are the same, and so are the bytes.
        #[test]
        fn every_cut_gives_the_same_messages(
            full in any::<bool>(),
            messages in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in proptest::collection::vec(1..50_usize, 1..20),
        ) {
            let form = if full { Header::Full } else { Header::Mini };
            let whole = stream(form, &messages);
            let mut framing = Framing::new(form);
            let (mut ends, mut seen, mut passed) = (Vec::new(), Vec::new(), Vec::new());
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < whole.len() {
                let next = (at + cuts.next().unwrap()).min(whole.len());
                framing.feed(&whole[at..next], |part| match part {
                    Part::Header { bytes, .. } => passed.extend_from_slice(bytes),
                    Part::Body(bytes) => passed.extend_from_slice(bytes),
                    Part::End { at: end, message } => {
                        ends.push(at + end);
                        seen.push((message.opcode, message.body_start.to_vec()));
                    }
                });
                at = next;
            }
            prop_assert_eq!(passed, whole);
            prop_assert!(framing.at_boundary() && framing.unfinished_header().is_empty());
            let expected: Vec<_> =
                messages.iter().map(|(opcode, body)| (*opcode, body[..body.len().min(8)].to_vec())).collect();
            prop_assert_eq!(seen, expected);
            let mut end = 0;
            let expected: Vec<usize> = messages
                .iter()
                .map(|(_, body)| { end += form.bytes() + body.len(); end })
                .collect();
            prop_assert_eq!(ends, expected);
        }
    }

    #[test]
    fn a_message_of_any_size_takes_no_memory() {
        let mut framing = Framing::new(Header::Mini);
        let mut header = 304_u16.to_le_bytes().to_vec();
        header.extend(u32::MAX.to_le_bytes());
        framing.feed(&header, |_| {});
        for _ in 0..100 {
            framing.feed(&[7; 10_000], |part| assert!(matches!(part, Part::Body(_))));
        }
        assert!(!framing.at_boundary());
        assert!(framing.body_start.capacity() <= 16 && framing.header.capacity() <= 32);
    }
}

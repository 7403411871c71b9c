//! What is drawn: a square that wanders over the surface and changes its colour with every step.

use shakenfist_spice_protocol::constants::{ImageType, bitmap_flags, bitmap_fmt};
use shakenfist_spice_protocol::display_server;
use shakenfist_spice_protocol::messages::{
    BitmapHeader, BitmapPalette, BitmapPayload, Clip, DrawBase, DrawCopyBuilder, ImageDescriptor,
    ImagePayload, MessageHeader, Rect, SpiceImage,
};

use crate::config::SurfaceSize;

/// The square's side in pixels: a draw is 16 KiB of pixels.
const SIDE: u32 = SurfaceSize::MIN_SIDE;
const BYTES_PER_PIXEL: u32 = 4;

/// Pixels that the square moves by, less than its side: each draw covers part of the one before, in another colour, so
/// that every draw changes pixels. Different ones, so that its way covers the surface.
const STEP: (u64, u64) = (5, 3);

const SHADES: u8 = 16;

/// Writes one DRAW_COPY after the other.
pub(super) struct Painter {
    surface: SurfaceSize,
    /// Made once: at high rates, making a picture for each draw would cost more than sending it.
    pictures: Vec<SpiceImage>,
    draws: u64,
    /// The message body being written, kept for its memory.
    body: Vec<u8>,
}

impl Painter {
    pub(super) fn new(surface: SurfaceSize) -> Self {
        Self {
            surface,
            pictures: (0..SHADES).map(picture).collect(),
            draws: 0,
            body: Vec::new(),
        }
    }

    /// Appends the next draw to `out`, as a whole message.
    pub(super) fn append_draw(&mut self, out: &mut Vec<u8>) {
        let left = bounce(self.draws * STEP.0, self.surface.width() - SIDE);
        let top = bounce(self.draws * STEP.1, self.surface.height() - SIDE);
        let picture = &self.pictures[(self.draws % self.pictures.len() as u64) as usize];
        self.draws += 1;

        let side = SIDE as i32;
        let base = DrawBase {
            surface_id: super::display::SURFACE_ID,
            bbox: Rect {
                top,
                left,
                bottom: top + side,
                right: left + side,
            },
            clip: Clip::none(),
        };
        self.body.clear();
        DrawCopyBuilder::new(
            &base,
            picture,
            Rect {
                top: 0,
                left: 0,
                bottom: side,
                right: side,
            },
        )
        .write(&mut self.body);
        let header = MessageHeader {
            message_type: display_server::DRAW_COPY,
            message_size: self.body.len() as u32,
        };
        header.write(out).expect("writing to memory does not fail");
        out.extend_from_slice(&self.body);
    }
}

/// Where something is after `way` pixels of going to and fro between 0 and `span`.
fn bounce(way: u64, span: u32) -> i32 {
    let span = u64::from(span);
    let there_and_back = way % (2 * span).max(1);
    there_and_back.min(2 * span - there_and_back) as i32
}

/// A square of one shade, brighter towards its lower right corner.
fn picture(shade: u8) -> SpiceImage {
    let mut data = Vec::with_capacity((SIDE * SIDE * BYTES_PER_PIXEL) as usize);
    for y in 0..SIDE as u8 {
        for x in 0..SIDE as u8 {
            let blue_green_red = [shade * 8 + x, y * 2, 255 - shade * 16];
            data.extend_from_slice(&blue_green_red);
            data.push(0);
        }
    }
    SpiceImage {
        descriptor: ImageDescriptor {
            image_id: u64::from(shade) + 1,
            image_type: ImageType::Pixmap as u8,
            flags: 0, // Not to be cached.
            width: SIDE,
            height: SIDE,
        },
        payload: ImagePayload::Bitmap(BitmapPayload {
            header: BitmapHeader {
                format: bitmap_fmt::BIT32,
                flags: bitmap_flags::TOP_DOWN,
                x: SIDE,
                y: SIDE,
                stride: SIDE * BYTES_PER_PIXEL,
                palette: BitmapPalette::None,
            },
            data,
        }),
    }
}

#[cfg(test)]
mod tests {
    use shakenfist_spice_protocol::messages::{DrawCopy, ReceiveBuffer, WireType};

    use super::*;

    /// A surface as a client would keep it.
    struct Canvas {
        width: usize,
        pixels: Vec<[u8; 4]>,
    }

    impl Canvas {
        /// Applies a draw and returns how many pixels it changed. Panics if it leaves the surface.
        fn apply(&mut self, draw: &DrawCopy) -> usize {
            let Some(ImagePayload::Bitmap(bitmap)) = draw.src_bitmap.as_ref().map(|image| &image.payload)
            else {
                panic!("no bitmap: {draw:?}");
            };
            let bbox = draw.base.bbox;
            let mut changed = 0;
            let mut source = bitmap.data.chunks_exact(4);
            for y in bbox.top..bbox.bottom {
                for x in bbox.left..bbox.right {
                    assert!((0..self.width as i32).contains(&x), "{bbox:?}");
                    let pixel = source.next().unwrap().try_into().unwrap();
                    let place = &mut self.pixels[y as usize * self.width + x as usize];
                    changed += usize::from(*place != pixel);
                    *place = pixel;
                }
            }
            assert!(source.next().is_none());
            changed
        }
    }

    #[test]
    fn every_draw_is_well_formed_stays_on_the_surface_and_changes_pixels() {
        for (width, height) in [(64, 64), (65, 200), (256, 192)] {
            let mut painter = Painter::new(SurfaceSize::new(width, height).unwrap());
            let pixels = vec![[0; 4]; (width * height) as usize];
            let mut canvas = Canvas {
                width: width as usize,
                pixels,
            };
            for number in 0..500 {
                let mut bytes = Vec::new();
                painter.append_draw(&mut bytes);
                let mut buffer = ReceiveBuffer::new();
                buffer.extend_from_slice(&bytes);
                let message = buffer.take_message(1 << 20).unwrap().unwrap();
                assert!(buffer.is_empty());
                assert_eq!(message.header.message_type, display_server::DRAW_COPY);
                let draw = DrawCopy::decode(message.payload()).unwrap();
                assert!(
                    canvas.apply(&draw) > 0,
                    "draw {number} on {width}x{height} changed nothing"
                );
            }
        }
    }

    #[test]
    fn bouncing_goes_to_and_fro() {
        let ways: Vec<_> = (0..9).map(|way| bounce(way, 3)).collect();
        assert_eq!(ways, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(bounce(12345, 0), 0);
    }
}

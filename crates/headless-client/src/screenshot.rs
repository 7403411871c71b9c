//! Pixels of a surface, copied quickly and encoded at leisure.

use std::io::Write;

/// The largest surface that is copied, in pixels: 8192 × 8192, beyond any real display. A server may ask for
/// four times that, which would be a copy of 1 GiB.
const MAX_PIXELS: usize = 8192 * 8192;

/// A copy of a surface's pixels.
pub struct Screenshot {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Screenshot {
    /// Copies the pixels of a surface, four bytes each.
    ///
    /// # Errors
    ///
    /// The reason why there is no picture, for the report's reader.
    pub fn copy(width: u32, height: u32, rgba: &[u8]) -> Result<Self, String> {
        let pixels = width as usize * height as usize;
        if pixels == 0 || pixels > MAX_PIXELS {
            return Err(format!(
                "the surface has {width} x {height} pixels: 1 to {MAX_PIXELS} can be encoded"
            ));
        }
        if rgba.len() != pixels * 4 {
            return Err(format!(
                "the surface of {width} x {height} pixels has {} bytes",
                rgba.len()
            ));
        }
        Ok(Self {
            width,
            height,
            rgba: rgba.to_vec(),
        })
    }

    /// Writes the picture as PNG, without the alpha channel: a screen is opaque, whatever its fourth byte
    /// says.
    ///
    /// # Errors
    ///
    /// When `out` fails.
    pub fn write_png(&self, out: impl Write) -> Result<(), png::EncodingError> {
        let rgb: Vec<u8> = self
            .rgba
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        let mut encoder = png::Encoder::new(out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&rgb)?;
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn pixels_survive_the_encoding() {
        let rgba = [
            1, 2, 3, 0, 4, 5, 6, 255, 7, 8, 9, 255, 10, 11, 12, 0, 13, 14, 15, 1, 16, 17, 18, 2,
        ];
        let mut encoded = Vec::new();
        Screenshot::copy(3, 2, &rgba)
            .unwrap()
            .write_png(&mut encoded)
            .unwrap();

        let mut reader = png::Decoder::new(Cursor::new(encoded)).read_info().unwrap();
        let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut decoded).unwrap();
        assert_eq!(
            (frame.width, frame.height, frame.color_type),
            (3, 2, png::ColorType::Rgb)
        );
        assert_eq!(decoded, (1..=18).collect::<Vec<u8>>());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for (width, height, bytes) in [(0, 5, 0), (5, 0, 0), (2, 2, 15), (16_384, 16_384, 0)] {
            assert!(
                Screenshot::copy(width, height, &vec![0; bytes]).is_err(),
                "{width} x {height}"
            );
        }
    }
}

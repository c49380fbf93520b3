//! JPEG and PNG to pixels, as Pillow's `convert("RGB")` gives them: grey is replicated, palettes are looked up, alpha is dropped,
//! 16-bit samples keep their high byte, EXIF orientation is not applied.
//!
//! One difference on purpose: Pillow clips 16-bit grey at 255, which makes such images white. Here they keep their high byte like 16-bit
//! colours, which is what torchvision's `decode_image` and `to_dtype(uint8, scale=True)` give. Samples of 10 or 12 bits that were
//! stored in 16 come out dark: scale them before.

use super::Image;
use crate::diag::Result;
use image::codecs::{jpeg::JpegDecoder, png::PngDecoder};
use image::{ColorType, ImageDecoder, Limits};
use std::io::Cursor;
use std::path::Path;

/// Most pixels that an image may have; Pillow refuses at the same number.
const MOST_PIXELS: u64 = 178_956_970;

/// Decodes a JPEG or PNG file to RGB. `path` is only for messages.
///
/// # Errors
/// `P0502` naming the file and the cause: another format, truncated, or too large.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Image> {
    let decoded = if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg(bytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(bytes)
    } else if bytes.is_empty() {
        Err("the file is empty".to_owned())
    } else {
        Err("it is neither a JPEG nor a PNG file".to_owned())
    };
    decoded.map_err(|cause| super::corrupt(path, cause))
}

fn jpeg(bytes: &[u8]) -> std::result::Result<Image, String> {
    // The decoder fills what is missing with grey; a file that ends early shows by its missing end-of-image marker.
    if !has_end(bytes) {
        return Err("the file is truncated: it has no end-of-image marker".to_owned());
    }
    pixels(JpegDecoder::new(Cursor::new(bytes)).map_err(|error| error.to_string())?)
}

fn png(bytes: &[u8]) -> std::result::Result<Image, String> {
    pixels(PngDecoder::with_limits(Cursor::new(bytes), limits()).map_err(|error| error.to_string())?)
}

/// Whether an end-of-image marker follows the start of the scan; thumbnails in the header have one of their own.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => match bytes.get(at + 2..at + 4) {
                Some([high, low]) => at += 2 + usize::from(*high) * 256 + usize::from(*low),
                _ => return false,
            },
        }
    }
    // Something the decoder may still make sense of or refuse with its own words.
    bytes.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 8);
    limits
}

fn pixels(decoder: impl ImageDecoder) -> std::result::Result<Image, String> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("{width} × {height} pixels are more than the limit of {MOST_PIXELS}"));
    }
    if width == 0 || height == 0 {
        return Err(format!("the image has {width} × {height} pixels"));
    }
    let color = decoder.color_type();
    let mut raw = vec![0; usize::try_from(decoder.total_bytes()).map_err(|error| error.to_string())?];
    decoder.read_image(&mut raw).map_err(|error| error.to_string())?;
    let data = match color {
        ColorType::Rgb8 => raw,
        ColorType::Rgba8 => raw.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::L8 => raw.iter().flat_map(|v| [*v; 3]).collect(),
        ColorType::La8 => raw.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        ColorType::L16 => raw.chunks_exact(2).flat_map(|p| [high(p); 3]).collect(),
        ColorType::La16 => raw.chunks_exact(4).flat_map(|p| [high(p); 3]).collect(),
        ColorType::Rgb16 => raw.chunks_exact(2).map(high).collect(),
        ColorType::Rgba16 => {
            raw.chunks_exact(8).flat_map(|p| [high(&p[0..2]), high(&p[2..4]), high(&p[4..6])]).collect()
        }
        other => return Err(format!("its colour type {other:?} is not read")),
    };
    Ok(Image { height: height as usize, width: width as usize, channels: 3, data })
}

/// High byte of a 16-bit sample in the machine's order, which the decoder writes.
fn high(pair: &[u8]) -> u8 {
    (u16::from_ne_bytes([pair[0], pair[1]]) >> 8) as u8
}

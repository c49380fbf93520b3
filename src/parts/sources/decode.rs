//! JPEG and PNG to pixels, as Pillow's `convert("RGB")` gives them: grey is replicated, palettes are looked up, alpha is dropped,
//! 16-bit samples keep their high byte, EXIF orientation is not applied.
//!
//! One difference on purpose: Pillow clips 16-bit grey at 255, which makes such images white; here it keeps its high byte too.

use super::{Image, corrupt};
use crate::diag::Result;
use image::{ColorType, ImageDecoder, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// Most rows and columns of an image.
const MOST_SIDE: u32 = 16384;
/// Most bytes that decoding may hold at once.
const MOST_BYTES: u64 = 512 << 20;

/// Decodes a JPEG or PNG file to RGB; the format is read from its first bytes. `path` is only for messages.
///
/// # Errors
/// `P0502` with the file and the cause: another format, truncated, or too large.
pub(super) fn rgb(bytes: &[u8], path: &Path) -> Result<Image> {
    pixels(bytes).map_err(|cause| corrupt(path, cause))
}

fn pixels(bytes: &[u8]) -> std::result::Result<Image, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if ends_early(bytes) {
        return Err("the file is truncated: its JPEG scan has no end".to_owned());
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err("it is neither a JPEG nor a PNG file".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || width > MOST_SIDE || height > MOST_SIDE || decoder.total_bytes() > MOST_BYTES {
        return Err(format!(
            "{width} × {height} pixels; the limit is {MOST_SIDE} × {MOST_SIDE} and {MOST_BYTES} bytes"
        ));
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
        ColorType::Rgba16 => raw.chunks_exact(8).flat_map(|p| [high(p), high(&p[2..]), high(&p[4..])]).collect(),
        other => return Err(format!("its colour type {other:?} is not read")),
    };
    Ok(Image { height: height as usize, width: width as usize, channels: 3, data })
}

/// High byte of a 16-bit sample, which the decoder writes in the machine's order.
fn high(pair: &[u8]) -> u8 {
    (u16::from_ne_bytes([pair[0], pair[1]]) >> 8) as u8
}

/// Whether a JPEG's first scan is never followed by an end-of-image marker: the decoder would fill the rest with grey.
/// Segments are walked from the start, because a thumbnail in one of them has an end of its own.
fn ends_early(bytes: &[u8]) -> bool {
    let mut rest = match bytes {
        [0xff, 0xd8, rest @ ..] => rest,
        _ => return false,
    };
    loop {
        rest = match rest {
            [0xff, 0xda, scan @ ..] => return !scan.windows(2).any(|pair| pair == [0xff, 0xd9]),
            [0xff, 0xff, ..] => &rest[1..],
            [0xff, 0x01 | 0xd0..=0xd8, after @ ..] => after,
            [0xff, _, body @ ..] => match body {
                [high, low, ..] => body.get(usize::from(*high) << 8 | usize::from(*low)..).unwrap_or_default(),
                _ => return true,
            },
            // No segment: the decoder says in its own words what is wrong.
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
    use image::{ExtendedColorType, ImageEncoder};

    fn png(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Image {
        rgb(bytes, Path::new("a.png")).unwrap()
    }

    /// A PNG written chunk by chunk, for what the encoder does not write.
    fn png_of_chunks(
        width: u32,
        height: u32,
        depth: u8,
        color: u8,
        more: &[(&[u8; 4], &[u8])],
        rows: &[u8],
    ) -> Vec<u8> {
        use flate2::{Compression, Crc, write::ZlibEncoder};
        use std::io::Write;
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(rows).unwrap();
        let packed = zlib.finish().unwrap();
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[depth, color, 0, 0, 0]].concat();
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"IHDR", &header)];
        chunks.extend(more);
        chunks.extend([(b"IDAT", &packed[..]), (b"IEND", &[][..])]);
        for (kind, body) in chunks {
            let mut crc = Crc::new();
            crc.update(kind);
            crc.update(body);
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(kind);
            bytes.extend(body);
            bytes.extend(crc.sum().to_be_bytes());
        }
        bytes
    }

    #[test]
    fn every_colour_type_becomes_rgb() {
        let wide = |values: &[u16]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
        let cases = [
            (png(&[7, 9], 2, 1, ExtendedColorType::L8), vec![7, 7, 7, 9, 9, 9]),
            (png(&[7, 0, 9, 255], 2, 1, ExtendedColorType::La8), vec![7, 7, 7, 9, 9, 9]),
            (png(&[1, 2, 3, 4, 5, 6], 2, 1, ExtendedColorType::Rgb8), vec![1, 2, 3, 4, 5, 6]),
            (png(&[1, 2, 3, 0, 4, 5, 6, 9], 2, 1, ExtendedColorType::Rgba8), vec![1, 2, 3, 4, 5, 6]),
            // 16 bits, big-endian in the file, a filter byte before the row.
            (
                png_of_chunks(2, 1, 16, 0, &[], &[&[0], &wide(&[0x1280, 0xffff])[..]].concat()),
                vec![18, 18, 18, 255, 255, 255],
            ),
            (png_of_chunks(1, 1, 16, 2, &[], &[&[0], &wide(&[0x01ff, 0x0200, 0x0380])[..]].concat()), vec![1, 2, 3]),
            (png_of_chunks(1, 1, 16, 6, &[], &[&[0], &wide(&[0x0100, 0x0200, 0x0300, 9])[..]].concat()), vec![1, 2, 3]),
            // A palette with a transparent entry, two bits a pixel: entries 1, 0.
            (
                png_of_chunks(2, 1, 2, 3, &[(b"PLTE", &[9, 8, 7, 30, 20, 10]), (b"tRNS", &[0])], &[0, 0b0100_0000]),
                vec![30, 20, 10, 9, 8, 7],
            ),
            // One bit of grey a pixel.
            (png_of_chunks(2, 1, 1, 0, &[], &[0, 0b1000_0000]), vec![255, 255, 255, 0, 0, 0]),
        ];
        for (bytes, expected) in cases {
            let image = decoded(&bytes);
            assert_eq!(image.channels, 3);
            assert_eq!(image.height * image.width * 3, image.data.len());
            assert_eq!(image.data, expected);
        }
    }

    fn jpeg() -> Vec<u8> {
        let pixels: Vec<u8> = (0..32 * 24 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).write_image(&pixels, 32, 24, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    #[test]
    fn truncated_jpegs_are_refused_at_every_length() {
        let bytes = jpeg();
        let image = decoded(&bytes);
        assert_eq!((image.height, image.width, image.data.len()), (24, 32, 24 * 32 * 3));
        for length in 0..bytes.len() - 1 {
            let error = rgb(&bytes[..length], Path::new("cut.jpg")).unwrap_err();
            assert_eq!(error.code(), Code::DataCorrupt, "{length}");
            assert!(error.message().contains("cut.jpg"));
        }
    }

    #[test]
    fn sizes_are_checked_before_pixels_are_held() {
        let huge = png_of_chunks(100_000, 100_000, 16, 6, &[], &[0]);
        assert_eq!(rgb(&huge, Path::new("huge.png")).unwrap_err().code(), Code::DataCorrupt);
        // Within the sides, beyond the bytes: 16384² × 8.
        let heavy = png_of_chunks(16384, 16384, 16, 6, &[], &[0]);
        assert_eq!(rgb(&heavy, Path::new("heavy.png")).unwrap_err().code(), Code::DataCorrupt);
        assert!(rgb(b"GIF89a....", Path::new("a.gif")).is_err());
        assert!(rgb(b"", Path::new("nothing.png")).is_err());
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let pixels: Vec<u8> = (0..=255).collect();
        for original in [jpeg(), png(&pixels, 16, 16, ExtendedColorType::L8)] {
            super::super::flip::bytes(&original, 400, |bytes| {
                if let Ok(image) = rgb(bytes, Path::new("a")) {
                    assert_eq!(image.data.len(), image.height * image.width * 3);
                }
            });
        }
    }
}

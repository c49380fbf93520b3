//! Rectangles of images.

use super::Image;

/// The rectangle of `height` × `width` whose corner is at (`top`, `left`) of the image; what lies outside is 0.
pub(super) fn crop(image: &Image, top: isize, left: isize, height: usize, width: usize) -> Image {
    let channels = image.channels;
    let mut data = vec![0; height * width * channels];
    // Columns of the output that lie inside the image.
    let first = left.saturating_neg().max(0) as usize;
    let end = (image.width as isize).saturating_sub(left).clamp(0, width as isize) as usize;
    if first < end {
        let from = (left.max(0)) as usize * channels;
        let count = (end - first) * channels;
        for row in 0..height {
            let source = top.saturating_add(row as isize);
            if source < 0 || source >= image.height as isize {
                continue;
            }
            let source = source as usize * image.width * channels + from;
            let target = (row * width + first) * channels;
            data[target..target + count].copy_from_slice(&image.data[source..source + count]);
        }
    }
    Image { height, width, channels, data }
}

/// Python's `round(margin / 2)`, half to even: where torchvision puts the corner of a central rectangle.
fn half_to_even(margin: usize) -> usize {
    margin / 2 + usize::from(margin % 4 == 3)
}

/// Where a central rectangle begins, in a side of `have` pixels of which `want` are kept. Padding, when there are too
/// few, puts the odd pixel behind.
pub(super) fn central(have: usize, want: usize) -> isize {
    if want > have { -(((want - have) / 2) as isize) } else { half_to_even(have - want) as isize }
}

#[cfg(test)]
mod tests {
    use super::super::tests::image;
    use super::*;

    #[test]
    fn what_lies_outside_is_zero() {
        let from = image(2, 2, 1, &[1, 2, 3, 4]);
        assert_eq!(crop(&from, -1, -1, 3, 4).data, [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0]);
        assert_eq!(crop(&from, 1, 1, 1, 1).data, [4]);
        assert_eq!(crop(&from, 5, -9, 2, 1).data, [0, 0]);
        assert_eq!(crop(&from, isize::MIN, isize::MAX, 1, 1).data, [0]);
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!([1, 2, 3, 5, 7].map(half_to_even), [0, 1, 2, 2, 4]);
        assert_eq!((central(3, 6), central(6, 3), central(5, 5)), (-1, 2, 0));
    }
}

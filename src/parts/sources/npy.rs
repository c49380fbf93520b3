//! One array of NumPy's format: header, then numbers.
//!
//! Source: NumPy's `numpy.lib.format`, versions 1 to 3. Sizes are multiplied with checks and compared with the bytes that
//! are there before anything is made from them.

type Parsed<T> = std::result::Result<T, String>;

/// Kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// `b1`
    Bool,
    /// `i1` … `i8`
    Int,
    /// `u1` … `u8`
    Unsigned,
    /// `f2` … `f8`
    Float,
}

/// An array in row-major order, its numbers still in the file's encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Npy {
    /// Shape with the samples' axis.
    pub(super) shape: Vec<usize>,
    /// Kind of number.
    pub(super) number: Number,
    size: usize,
    bytes: Vec<u8>,
}

impl Npy {
    /// Parses a whole `.npy` file.
    pub(super) fn parse(file: &[u8]) -> Parsed<Self> {
        let (header, body) = split(file)?;
        let (number, size, big) = dtype(&quoted(after(header, "descr")?)?)?;
        let fortran = match after(header, "fortran_order")? {
            text if text.starts_with("True") => true,
            text if text.starts_with("False") => false,
            _ => return Err("`fortran_order` is neither True nor False".to_owned()),
        };
        let shape = tuple(after(header, "shape")?)?;
        let needed = shape.iter().try_fold(size, |product, axis| product.checked_mul(*axis));
        if needed != Some(body.len()) {
            return Err(format!("an array of shape {shape:?} and {size} bytes a number has {} bytes", body.len()));
        }
        let mut bytes = if fortran { row_major(body, &shape, size) } else { body.to_vec() };
        if big {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(Self { shape, number, size, bytes })
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// The bytes of an array of `u1`.
    pub(super) fn pixels(&self) -> Option<&[u8]> {
        (self.number == Number::Unsigned && self.size == 1).then_some(&self.bytes[..])
    }

    /// All numbers, rounded to f32.
    pub(super) fn floats(&self) -> Vec<f32> {
        self.bytes
            .chunks_exact(self.size)
            .map(|bytes| match (self.number, bytes) {
                (Number::Float, [a, b]) => half(u16::from_le_bytes([*a, *b])),
                (Number::Float, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
                (Number::Float, _) => f64::from_bits(word(bytes)) as f32,
                (Number::Int, _) => signed(bytes) as f32,
                (Number::Bool, _) => f32::from(u8::from(bytes[0] != 0)),
                (Number::Unsigned, _) => word(bytes) as f32,
            })
            .collect()
    }

    /// All numbers of an integer array; unsigned ones beyond `i64` become its largest.
    pub(super) fn integers(&self) -> Vec<i64> {
        self.bytes
            .chunks_exact(self.size)
            .map(|bytes| match self.number {
                Number::Int => signed(bytes),
                Number::Bool => i64::from(bytes[0] != 0),
                Number::Unsigned | Number::Float => i64::try_from(word(bytes)).unwrap_or(i64::MAX),
            })
            .collect()
    }
}

/// Header text and numbers.
fn split(file: &[u8]) -> Parsed<(&str, &[u8])> {
    let short = || "the file is shorter than its header".to_owned();
    let (start, length) = match file {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            (12, usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| short())?)
        }
        _ => return Err("it does not begin like a .npy file of version 1 to 3".to_owned()),
    };
    let (header, body) = file[start..].split_at_checked(length).ok_or_else(short)?;
    Ok((std::str::from_utf8(header).map_err(|error| error.to_string())?, body))
}

/// What follows `'key':` in the header, a Python dict whose three keys NumPy always writes.
fn after<'a>(header: &'a str, key: &str) -> Parsed<&'a str> {
    ['\'', '"']
        .iter()
        .find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .ok_or_else(|| format!("its header has no `{key}`"))
}

fn quoted(text: &str) -> Parsed<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    quote
        .and_then(|quote| text[1..].split_once(quote))
        .map(|(inside, _)| inside.to_owned())
        .ok_or_else(|| "records of several fields are not read".to_owned())
}

fn tuple(text: &str) -> Parsed<Vec<usize>> {
    let inside = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside);
    let inside = inside.ok_or("`shape` is not a tuple")?;
    let axes = inside.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let axes: Vec<usize> = axes
        .map(|axis| axis.trim_end_matches('L').parse().map_err(|_| format!("`{axis}` is not a size")))
        .collect::<Parsed<_>>()?;
    if axes.len() > 32 { Err(format!("{} axes", axes.len())) } else { Ok(axes) }
}

/// Kind, bytes a number, and whether they are big-endian.
fn dtype(text: &str) -> Parsed<(Number, usize, bool)> {
    let big = text.starts_with('>');
    let (number, size) = match text.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "?" => (Number::Bool, 1),
        "i1" => (Number::Int, 1),
        "i2" => (Number::Int, 2),
        "i4" => (Number::Int, 4),
        "i8" => (Number::Int, 8),
        "u1" => (Number::Unsigned, 1),
        "u2" => (Number::Unsigned, 2),
        "u4" => (Number::Unsigned, 4),
        "u8" => (Number::Unsigned, 8),
        "f2" => (Number::Float, 2),
        "f4" => (Number::Float, 4),
        "f8" => (Number::Float, 8),
        _ => return Err(format!("numbers of type `{text}` are not read; write integers, floats or booleans")),
    };
    Ok((number, size, big))
}

/// Column-major to row-major; the shape has been checked against the bytes.
fn row_major(body: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut place = vec![0; shape.len()];
    for _ in 0..body.len() / size {
        let column = place.iter().zip(shape).rev().fold(0, |offset, (index, axis)| offset * axis + index);
        bytes.extend_from_slice(&body[column * size..(column + 1) * size]);
        for (index, axis) in place.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < *axis {
                break;
            }
            *index = 0;
        }
    }
    bytes
}

/// Little-endian bytes, zero-extended.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Little-endian bytes, sign-extended.
fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (word(bytes) << unused) as i64 >> unused
}

/// IEEE 754 half precision; every value is exact in f32.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), body].concat()
    }

    fn parsed(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Npy {
        Npy::parse(&file(descr, fortran, shape, body)).unwrap()
    }

    #[test]
    fn every_number_type_is_read() {
        let cases: [(&str, &[u8], f32); 12] = [
            ("|b1", &[1], 1.0),
            ("|i1", &[0xfe], -2.0),
            ("<i2", &[0xfe, 0xff], -2.0),
            (">i2", &[0xff, 0xfe], -2.0),
            ("<i8", &[3, 0, 0, 0, 0, 0, 0, 0], 3.0),
            ("|u1", &[254], 254.0),
            (">u4", &[0, 0, 1, 2], 258.0),
            ("<f2", &[0x00, 0xc1], -2.5),
            ("<f2", &[0x01, 0x00], 5.960_464_5e-8),
            ("<f4", &[0, 0, 0x20, 0xc0], -2.5),
            (">f8", &[0xc0, 0x04, 0, 0, 0, 0, 0, 0], -2.5),
            ("<u8", &[255; 8], 1.844_674_4e19),
        ];
        for (descr, body, expected) in cases {
            assert_eq!(parsed(descr, "False", "(1,)", body).floats(), [expected], "{descr}");
        }
        assert_eq!(parsed("<i4", "False", "(2,)", &[255, 255, 255, 255, 7, 0, 0, 0]).integers(), [-1, 7]);
    }

    #[test]
    fn column_major_arrays_are_transposed() {
        // numpy.asfortranarray([[0, 1, 2], [3, 4, 5]]) stores 0 3 1 4 2 5.
        let npy = parsed("|u1", "True", "(2, 3)", &[0, 3, 1, 4, 2, 5]);
        assert_eq!(npy.pixels().unwrap(), [0, 1, 2, 3, 4, 5]);
        // Three axes against the definition: element (i, j, k) lies at i + 2j + 6k.
        let npy = parsed("|u1", "True", "(2, 3, 2)", &(0..12).collect::<Vec<u8>>());
        assert_eq!(npy.pixels().unwrap(), [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
    }

    #[test]
    fn shapes_that_lie_are_refused() {
        for shape in ["(9,)", "(4611686018427387904, 8)", "(18446744073709551616,)", "(-1,)", "8", "(0,)", "(2, 2, 3)"]
        {
            assert!(Npy::parse(&file("<f4", "False", shape, &[0; 32])).is_err(), "{shape}");
        }
        assert_eq!(parsed("<f4", "False", "()", &[0; 4]).shape, [0_usize; 0]);
        assert!(Npy::parse(&file("|O", "False", "(1,)", &[0; 8])).unwrap_err().contains("|O"));
        assert!(Npy::parse(&file("<U3", "False", "(1,)", &[0; 12])).is_err());
        assert!(Npy::parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let original = file("<f4", "True", "(2, 3)", &[7; 24]);
        super::super::flip::bytes(&original, 4000, |bytes| {
            if let Ok(npy) = Npy::parse(bytes) {
                assert_eq!(npy.floats().len(), npy.len());
                assert_eq!(npy.integers().len(), npy.len());
            }
        });
    }
}

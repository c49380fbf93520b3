//! One `.npy` array: its header, and its elements as bytes, floats or whole numbers.
//!
//! Source: the NPY format, versions 1 to 3, in NumPy's documentation. Object arrays hold pickles and are refused.

use std::io::Read;

/// Longest header that is read; NumPy's own are below 64 KiB.
const LONGEST_HEADER: usize = 1 << 20;

/// An array as it lies in the file, in C order after reading.
#[derive(Debug, PartialEq)]
pub(super) struct Npy {
    pub(super) shape: Vec<usize>,
    kind: char,
    size: usize,
    big: bool,
    bytes: Vec<u8>,
}

type Read1<T> = std::result::Result<T, String>;

impl Npy {
    /// Reads an array from a stream that gives at most `limit` bytes.
    pub(super) fn read(stream: impl Read, limit: u64) -> Read1<Self> {
        let mut stream = stream.take(limit.saturating_add(1));
        let header = header(&mut stream)?;
        let (kind, size, big) = descr(&field(&header, "descr")?)?;
        let fortran = match field(&header, "fortran_order")?.as_str() {
            "True" => true,
            "False" => false,
            other => return Err(format!("fortran_order is `{other}`")),
        };
        let shape = dims(&field(&header, "shape")?)?;
        let wanted = super::bytes_of(&shape, size).ok_or("the shape overflows")?;
        if wanted as u64 > limit {
            return Err(format!("the header claims {wanted} bytes of elements, more than the file can hold"));
        }
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() != wanted {
            return Err(format!("shape {shape:?} takes {wanted} bytes of elements, the file has {}", bytes.len()));
        }
        if fortran {
            bytes = to_c_order(&bytes, &shape, size);
        }
        Ok(Self { shape, kind, size, big, bytes })
    }

    /// Whether the elements are whole numbers (or truth values).
    pub(super) fn whole(&self) -> bool {
        self.kind != 'f'
    }

    /// The elements, when they are unsigned bytes.
    pub(super) fn into_u8(self) -> std::result::Result<Vec<u8>, Self> {
        if self.kind == 'u' && self.size == 1 { Ok(self.bytes) } else { Err(self) }
    }

    /// The elements as f32.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        match (self.kind, self.size) {
            ('f', 4) => self.elements(|b: [u8; 4]| f32::from_le_bytes(b)),
            ('f', 8) => self.elements(|b: [u8; 8]| f64::from_le_bytes(b) as f32),
            ('f', _) => self.elements(|b: [u8; 2]| half(u16::from_le_bytes(b))),
            _ => self.to_i64().into_iter().map(|value| value as f32).collect(),
        }
    }

    /// The elements as whole numbers; floats lose their fraction.
    pub(super) fn to_i64(&self) -> Vec<i64> {
        match (self.kind, self.size) {
            ('f', _) => self.to_f32().into_iter().map(|value| value as i64).collect(),
            ('i', 1) => self.elements(|b: [u8; 1]| i64::from(b[0] as i8)),
            ('i', 2) => self.elements(|b: [u8; 2]| i64::from(i16::from_le_bytes(b))),
            ('i', 4) => self.elements(|b: [u8; 4]| i64::from(i32::from_le_bytes(b))),
            (_, 1) => self.elements(|b: [u8; 1]| i64::from(b[0])),
            (_, 2) => self.elements(|b: [u8; 2]| i64::from(u16::from_le_bytes(b))),
            (_, 4) => self.elements(|b: [u8; 4]| i64::from(u32::from_le_bytes(b))),
            _ => self.elements(|b: [u8; 8]| i64::from_le_bytes(b)),
        }
    }

    fn elements<T, const N: usize>(&self, convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes
            .chunks_exact(N)
            .map(|chunk| {
                let mut raw = [0; N];
                raw.copy_from_slice(chunk);
                if self.big {
                    raw.reverse();
                }
                convert(raw)
            })
            .collect()
    }
}

fn header(stream: &mut impl Read) -> Read1<String> {
    let mut start = [0; 8];
    stream.read_exact(&mut start).map_err(|_| "the file ends inside its header")?;
    if &start[..6] != b"\x93NUMPY" {
        return Err("it does not start with NumPy's magic bytes".to_owned());
    }
    let mut length = [0; 4];
    let width = if start[6] == 1 { 2 } else { 4 };
    stream.read_exact(&mut length[..width]).map_err(|_| "the file ends inside its header")?;
    let length = u32::from_le_bytes(length) as usize;
    if !(1..=3).contains(&start[6]) || length > LONGEST_HEADER {
        return Err(format!("format version {} with a header of {length} bytes is not read", start[6]));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).map_err(|_| "the file ends inside its header")?;
    String::from_utf8(text).map_err(|_| "the header is not text".to_owned())
}

/// The text of a field of the header's dictionary.
fn field(header: &str, name: &str) -> Read1<String> {
    let missing = || format!("the header has no `{name}`");
    let (_, rest) =
        header.split_once(&format!("'{name}'")).and_then(|(_, rest)| rest.split_once(':')).ok_or_else(missing)?;
    let rest = rest.trim_start();
    let end = match rest.chars().next().ok_or_else(missing)? {
        '(' => rest.find(')').map(|end| end + 1),
        '\'' => rest[1..].find('\'').map(|end| end + 2),
        '[' => return Err("structured arrays are not read".to_owned()),
        _ => rest.find([',', '}']),
    };
    Ok(rest[..end.ok_or_else(missing)?].trim().to_owned())
}

/// Kind, size in bytes and whether it is big-endian, from text such as `'<f4'`.
fn descr(text: &str) -> Read1<(char, usize, bool)> {
    let refused = || format!("elements of type {text} are not read");
    let inner = text.trim_matches('\'');
    let mut chars = inner.chars();
    let (order, kind) = (chars.next().ok_or_else(refused)?, chars.next().ok_or_else(refused)?);
    let size: usize = chars.as_str().parse().map_err(|_| refused())?;
    let known = match kind {
        'f' => matches!(size, 2 | 4 | 8),
        'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
        'b' => size == 1,
        'O' => return Err("it holds Python objects, which would have to be unpickled".to_owned()),
        _ => false,
    };
    if !known || !"<>|=".contains(order) {
        return Err(refused());
    }
    Ok((kind, size, order == '>'))
}

fn dims(text: &str) -> Read1<Vec<usize>> {
    let inner = text.trim_start_matches('(').trim_end_matches(')');
    inner
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| format!("the shape is `{text}`")))
        .collect()
}

fn to_c_order(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for dim in shape {
        strides.push(stride);
        stride *= dim;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    while out.len() < bytes.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend_from_slice(&bytes[at..at + size]);
        for (i, dim) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *dim {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// IEEE half precision to single.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An array in NPY's own bytes.
    pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, elements: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(elements);
        bytes
    }

    fn read(bytes: &[u8]) -> Read1<Npy> {
        Npy::read(bytes, bytes.len() as u64)
    }

    #[test]
    fn elements_of_all_kinds_are_read() {
        let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(&npy("<f4", false, "(2,)", &floats)).unwrap().to_f32(), [1.5, -2.0]);
        let big: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(read(&npy(">f8", false, "(2,)", &big)).unwrap().to_f32(), [1.5, -2.0]);
        assert_eq!(
            read(&npy("<f2", false, "(3,)", &[0, 0x3c, 0, 0xc0, 1, 0])).unwrap().to_f32(),
            [1.0, -2.0, 2f32.powi(-24)]
        );
        assert_eq!(read(&npy("|i1", false, "(2,)", &[0xff, 3])).unwrap().to_i64(), [-1, 3]);
        assert_eq!(read(&npy(">u2", false, "(1,)", &[1, 2])).unwrap().to_i64(), [258]);
        assert_eq!(read(&npy("|b1", false, "(2,)", &[0, 1])).unwrap().to_f32(), [0.0, 1.0]);
    }

    #[test]
    fn fortran_order_is_turned() {
        let array = read(&npy("|u1", true, "(2, 3)", &[0, 3, 1, 4, 2, 5])).unwrap();
        assert_eq!(array.into_u8().unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn lies_and_pickles_are_refused() {
        for (bytes, cause) in [
            (npy("<f4", false, "(4611686018427387904, 8)", &[]), "overflows"),
            (npy("<f4", false, "(1000000000,)", &[0; 8]), "more than the file"),
            (npy("<f4", false, "(3,)", &[0; 8]), "takes 12"),
            (npy("|u1", false, "(3,)", &[0; 8]), "takes 3"),
            (npy("|O", false, "(1,)", &[]), "not read"),
            (npy("|O8", false, "(1,)", &[0; 8]), "unpickled"),
            (npy("<c8", false, "(1,)", &[0; 8]), "not read"),
            (npy("<f4", false, "(-1,)", &[0; 8]), "shape"),
            (npy("<f8", true, "(4611686018427387904, 0)", &[]), "overflows"),
            (npy("<f4", false, "(0, 4611686018427387904, 8)", &[]), "overflows"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "ends inside"),
            (b"PK".to_vec(), "ends inside"),
            (vec![0; 100], "magic"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(cause), "{error} / {cause}");
        }
    }
}

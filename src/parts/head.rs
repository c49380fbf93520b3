//! The `//!` head of a kind's file as its page of documentation, so that the text stands in one place.

/// Length of the head of a source file without its comment marks.
pub(crate) const fn head_len(source: &str) -> usize {
    scan(source.as_bytes(), &mut [])
}

/// The head itself; `N` is [`head_len`].
pub(crate) const fn head_bytes<const N: usize>(source: &str) -> [u8; N] {
    let mut out = [0; N];
    scan(source.as_bytes(), &mut out);
    out
}

/// Copies the text of the leading `//!` lines as far as `out` reaches, and counts all of it.
const fn scan(source: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at + 2 < source.len() && source[at] == b'/' && source[at + 1] == b'/' && source[at + 2] == b'!' {
        at += 3;
        if at < source.len() && source[at] == b' ' {
            at += 1;
        }
        while at < source.len() {
            let byte = source[at];
            at += 1;
            if count < out.len() {
                out[count] = byte;
            }
            count += 1;
            if byte == b'\n' {
                break;
            }
        }
    }
    count
}

/// `head!("sgd.rs")`: the head of that file, beside the file that asks, as `&'static str`.
macro_rules! head {
    ($file:literal) => {{
        const SOURCE: &str = include_str!($file);
        const BYTES: [u8; $crate::parts::head::head_len(SOURCE)] = $crate::parts::head::head_bytes(SOURCE);
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => "",
        }
    }};
}
pub(crate) use head;

#[cfg(test)]
mod tests {
    #[test]
    fn the_head_loses_its_marks_and_nothing_else() {
        const TEXT: &str = "//! One.\n//!\n//!   λ two\nuse x;\n//! not this\n";
        const BYTES: [u8; super::head_len(TEXT)] = super::head_bytes(TEXT);
        assert_eq!(std::str::from_utf8(&BYTES), Ok("One.\n\n  λ two\n"));
    }
}

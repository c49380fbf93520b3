//! What a scalar's text means: numbers with `%` and exponents, booleans, sizes.

/// A finite decimal number, `1e-4`, `.5` and `5%` included.
pub(crate) fn number(text: &str) -> Option<f64> {
    let (digits, scale) = text.strip_suffix('%').map_or((text, 1.0), |rest| (rest.trim_end(), 100.0));
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !digits.chars().all(numeric) || !digits.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    value.is_finite().then_some(value / scale)
}

/// A whole number; `1e3` is one, `1.5` is not.
pub(crate) fn integer(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse::<i128>() {
        return Some(value);
    }
    // Above 2^53 an f64 does not hold every whole number.
    let value = number(text).filter(|_| !text.ends_with('%'))?;
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
}

/// YAML 1.2: only `true` and `false`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Bytes: `1048576`, `512MiB`, `10 GiB`, `10GB` (powers of 1000).
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    let digits = digits.trim_end();
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number(digits).filter(|_| !digits.ends_with('%'))? * factor as f64;
    (0.0..1.8e19).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, value) in
            [("5e-5", 5e-5), ("1e-4", 1e-4), ("5%", 0.05), (".5", 0.5), ("-1.5E+2", -150.0), ("7", 7.0)]
        {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for text in ["", "e", "%", "inf", "nan", ".inf", "1_000", "0x10", "1e999", "--1", "five"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(integer("1e3"), Some(1000));
        assert_eq!(integer("18446744073709551615"), Some(18_446_744_073_709_551_615));
        assert_eq!((integer("1.5"), integer("100%"), integer("1e300")), (None, None, None));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((bytes("10GiB"), bytes("1.5 KiB"), bytes("0")), (Some(10 << 30), Some(1536), Some(0)));
        assert_eq!((bytes("10 apples"), bytes("-1"), bytes("99999999TiB")), (None, None, None));
    }
}

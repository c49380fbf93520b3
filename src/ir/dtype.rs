//! Element types.

use std::fmt;

/// Element type of a tensor, with ONNX's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum DType {
    /// 32-bit float.
    F32 = 1,
    /// Unsigned byte.
    U8 = 2,
    /// Signed byte.
    I8 = 3,
    /// Unsigned 16-bit integer.
    U16 = 4,
    /// Signed 16-bit integer.
    I16 = 5,
    /// Signed 32-bit integer.
    I32 = 6,
    /// Signed 64-bit integer.
    I64 = 7,
    /// Text; only passed through.
    Str = 8,
    /// Truth value, one byte.
    Bool = 9,
    /// 16-bit float.
    F16 = 10,
    /// 64-bit float.
    F64 = 11,
    /// Unsigned 32-bit integer.
    U32 = 12,
    /// Unsigned 64-bit integer.
    U64 = 13,
    /// Brain float.
    Bf16 = 16,
}

impl DType {
    /// From ONNX's number; `None` for types that `pipe` does not handle.
    pub fn from_onnx(number: i32) -> Option<Self> {
        use DType::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, Str, U8, U16, U32, U64};
        [F32, U8, I8, U16, I16, I32, I64, Str, Bool, F16, F64, U32, U64, Bf16].into_iter().find(|t| *t as i32 == number)
    }

    /// Bytes an element; 0 for text.
    pub fn size(self) -> usize {
        match self {
            DType::U8 | DType::I8 | DType::Bool => 1,
            DType::U16 | DType::I16 | DType::F16 | DType::Bf16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::I64 | DType::F64 | DType::U64 => 8,
            DType::Str => 0,
        }
    }

    /// Whether gradients can flow through it.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::Bf16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::U16 => "u16",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Str => "str",
            DType::Bool => "bool",
            DType::F16 => "f16",
            DType::F64 => "f64",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::Bf16 => "bf16",
        })
    }
}

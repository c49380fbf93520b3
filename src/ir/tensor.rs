//! Constant tensors: bytes with a type and a shape.

use super::DType;
use std::sync::Arc;

/// A tensor in row-major little-endian bytes, cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Arc<Vec<u8>>,
}

/// A Rust type that can stand in a tensor.
pub trait Element: Copy + 'static {
    /// Its element type.
    const DTYPE: DType;
    /// Little-endian bytes.
    fn put(self, out: &mut Vec<u8>);
    /// From exactly `size()` little-endian bytes.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn put(self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()); }
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(bytes);
                <$t>::from_le_bytes(raw)
            }
        }
    )*};
}
elements!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, i8 => I8, u64 => U64, u32 => U32);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn put(self, out: &mut Vec<u8>) {
        out.push(u8::from(self));
    }
    fn get(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
}

impl Tensor {
    /// From raw bytes; `None` when their number does not fit the shape.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        (count.checked_mul(dtype.size())? == bytes.len()).then(|| Self { dtype, shape, bytes: Arc::new(bytes) })
    }

    /// From elements.
    ///
    /// # Panics
    /// When the number of elements is not the product of the shape: a bug of the caller, never of input.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, elements: &[T]) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), elements.len(), "elements fit the shape {shape:?}");
        let mut bytes = Vec::with_capacity(size_of_val(elements));
        for element in elements {
            element.put(&mut bytes);
        }
        Self { dtype: T::DTYPE, shape, bytes: Arc::new(bytes) }
    }

    /// A tensor of rank 0.
    pub fn scalar<T: Element>(element: T) -> Self {
        Self::new([], &[element])
    }

    /// A tensor of rank 1.
    pub fn vector<T: Element>(elements: &[T]) -> Self {
        Self::new([elements.len()], elements)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row-major little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Elements, when the type is `T`.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        (self.dtype == T::DTYPE).then(|| self.bytes.chunks_exact(self.dtype.size()).map(T::get).collect())
    }

    /// Integer elements of any integer type, for shapes and axes.
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        match self.dtype {
            DType::I64 => self.to_vec(),
            DType::I32 => Some(self.to_vec::<i32>()?.into_iter().map(i64::from).collect()),
            _ => None,
        }
    }

    /// The only element as f64, when there is exactly one float.
    pub fn to_scalar(&self) -> Option<f64> {
        match (self.dtype, self.len()) {
            (DType::F32, 1) => self.to_vec::<f32>().map(|v| f64::from(v[0])),
            (DType::F64, 1) => self.to_vec::<f64>().map(|v| v[0]),
            _ => None,
        }
    }

    /// The same elements under another shape of equal size.
    ///
    /// # Panics
    /// When the sizes differ.
    #[must_use]
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), self.len(), "reshape keeps the size");
        Self { dtype: self.dtype, shape, bytes: Arc::clone(&self.bytes) }
    }
}

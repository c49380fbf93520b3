//! Where tensors lie that share a stretch of memory of the device.

use crate::ir::DType;
use crate::native::Place;

/// Every tensor starts at a multiple of so many bytes.
const ALIGNMENT: usize = 256;

/// Tensors, one after the other.
#[derive(Debug, Default)]
pub(super) struct Layout {
    parts: Vec<(DType, Vec<usize>, usize)>,
    size: usize,
}

impl Layout {
    /// Adds a tensor and gives its number.
    pub(super) fn push(&mut self, dtype: DType, shape: &[usize]) -> usize {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        self.parts.push((dtype, shape.to_vec(), self.size));
        self.size += bytes.max(1).next_multiple_of(ALIGNMENT);
        self.parts.len() - 1
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> usize {
        self.size.max(ALIGNMENT)
    }

    /// First byte of a tensor.
    pub(super) fn at(&self, number: usize) -> usize {
        self.parts.get(number).map_or(0, |(_, _, at)| *at)
    }

    /// Bytes of a tensor.
    pub(super) fn range(&self, number: usize) -> std::ops::Range<usize> {
        let Some((dtype, shape, at)) = self.parts.get(number) else { return 0..0 };
        *at..*at + shape.iter().product::<usize>() * dtype.size()
    }

    /// A tensor where the stretch starts at an address.
    pub(super) fn place(&self, number: usize, start: u64) -> Place {
        match self.parts.get(number) {
            Some((dtype, shape, at)) => Place { address: start + *at as u64, dtype: *dtype, shape: shape.clone() },
            None => Place { address: start, dtype: DType::F32, shape: Vec::new() },
        }
    }
}

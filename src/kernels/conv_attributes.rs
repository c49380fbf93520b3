//! Attributes of a convolution, read once for each node.

use super::Attributes;
use crate::ir::Attr;

/// `kernel_shape`, `strides`, `dilations`, `pads` and `group` as in Conv, all of the rank of the kernel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConvAttributes {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) begin: Vec<usize>,
    pub(super) end: Vec<usize>,
    pub(super) group: usize,
}

impl ConvAttributes {
    /// Reads them; only `kernel_shape` has no default.
    pub(super) fn read(attributes: &dyn Attributes) -> Result<Self, String> {
        let kernel = sizes("kernel_shape", &attributes.ints("kernel_shape").ok_or("it has no kernel_shape")?, 1)?;
        let rank = kernel.len();
        if !(1..=3).contains(&rank) {
            return Err(format!("a kernel of {rank} dimensions; 1 to 3 are covered"));
        }
        let or = |name: &str, default: i64, least: usize, count: usize| {
            let list = sizes(name, &attributes.ints(name).unwrap_or_else(|| vec![default; count]), least)?;
            if list.len() == count { Ok(list) } else { Err(format!("{name} {list:?} for a kernel {kernel:?}")) }
        };
        let strides = or("strides", 1, 1, rank)?;
        let dilations = or("dilations", 1, 1, rank)?;
        let mut begin = or("pads", 0, 0, 2 * rank)?;
        let end = begin.split_off(rank);
        let group = attributes.int("group").unwrap_or(1);
        let group = usize::try_from(group).ok().filter(|g| *g > 0).ok_or_else(|| format!("group {group}"))?;
        Ok(Self { kernel, strides, dilations, begin, end, group })
    }

    /// Positions that the kernel reaches over in a dimension.
    pub(super) fn extent(&self, i: usize) -> usize {
        (self.kernel[i].max(1) - 1) * self.dilations[i] + 1
    }

    /// As attributes of a node, with other pads.
    pub(super) fn list(&self, begin: &[usize], end: &[usize]) -> Vec<(&'static str, Attr)> {
        vec![
            ("kernel_shape", ints(&self.kernel)),
            ("strides", ints(&self.strides)),
            ("dilations", ints(&self.dilations)),
            ("pads", ints(&[begin, end].concat())),
            ("group", Attr::Int(self.group as i64)),
        ]
    }

    /// Spatial size of the output for one of the input.
    pub(super) fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let size = |i: usize| {
            let reach = (self.kernel[i] - 1) * self.dilations[i] + 1;
            let room = (input[i] + self.begin[i] + self.end[i]).checked_sub(reach)?;
            Some(room / self.strides[i] + 1)
        };
        let covered = input.len() == self.kernel.len();
        let sizes = if covered { (0..input.len()).map(size).collect() } else { None };
        sizes.ok_or_else(|| format!("a kernel {:?} over {input:?}", self.kernel))
    }
}

/// Zeros in front of a dimension and behind it with `auto_pad`: as many windows as strides begin in it, and the odd zero behind (`SAME_UPPER`) or
/// in front. `extent` is the reach of a window.
pub(crate) fn same_pads(size: usize, stride: usize, extent: usize, upper: bool) -> (usize, usize) {
    let steps = size.div_ceil(stride).saturating_sub(1);
    let total = (steps * stride + extent).saturating_sub(size);
    let (less, more) = (total / 2, total - total / 2);
    if upper { (less, more) } else { (more, less) }
}

/// A list of sizes of at least `least`.
pub(super) fn sizes(name: &str, given: &[i64], least: usize) -> Result<Vec<usize>, String> {
    given
        .iter()
        // No real kernel, stride or pad comes near 2^31; larger ones would overflow positions.
        .map(|v| usize::try_from(*v).ok().filter(|v| (least..1 << 31).contains(v)))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{name} {given:?}"))
}

/// An integers attribute of sizes.
pub(super) fn ints(sizes: &[usize]) -> Attr {
    Attr::Ints(sizes.iter().map(|size| *size as i64).collect())
}

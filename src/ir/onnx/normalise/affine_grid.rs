//! `AffineGrid` of opset 20, written out: a constant grid of places times the matrices.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, DType, Node, Tensor};

/// Most places of a grid; a file of a few bytes can ask for any number.
const MOST: i64 = 1 << 24;

/// For images and volumes of a constant size; the number of matrices stays free.
pub(super) fn affine_grid(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (theta, size) = (Site::required(&node, 0)?, Site::required(&node, 1)?);
    let Some(output) = node.output(0) else { return Ok(()) };
    let Some(sizes) = site.graph.constant(size).and_then(Tensor::to_ints) else {
        return Err(site.refuse(&node, "has a size that is computed at run time"));
    };
    let space = sizes.get(2..).unwrap_or_default().to_vec();
    let places = space.iter().try_fold(1i64, |all, size| all.checked_mul(*size).filter(|all| (1..=MOST).contains(all)));
    let (2 | 3, Some(places)) = (space.len(), places) else {
        return Err(site.refuse(&node, &format!("makes a grid of size {sizes:?}")));
    };
    let corners = node.int("align_corners", 0) != 0;
    let place = |at: i64, size: i64| match corners {
        true if size > 1 => 2.0 * at as f64 / (size - 1) as f64 - 1.0,
        true => -1.0,
        false => (2 * at + 1) as f64 / size as f64 - 1.0,
    };
    let mut rows: Vec<f64> = Vec::new();
    for flat in 0..places {
        // The last dimension of the image is the first coordinate.
        let mut rest = flat;
        for size in space.iter().rev() {
            rows.push(place(rest % size, *size));
            rest /= size;
        }
        rows.push(1.0);
    }
    let shape = [1, places as usize, space.len() + 1];
    let grid = match site.dtype(theta) {
        Some(DType::F64) => site.constant("grid", Tensor::new(shape, &rows)),
        other => {
            let narrow: Vec<f32> = rows.iter().map(|value| *value as f32).collect();
            let plain = site.constant("grid", Tensor::new(shape, &narrow));
            if other == Some(DType::F32) { plain } else { site.op("CastLike", &[plain, theta], &[]) }
        }
    };
    let turned = site.op("Transpose", &[theta], &[("perm", Attr::Ints(vec![0, 2, 1]))]);
    let points = site.op("MatMul", &[grid, turned], &[]);
    let mut shape = vec![0];
    shape.extend(&space);
    shape.push(space.len() as i64);
    let shape = site.constant("shape", Tensor::vector(&shape));
    site.op_to(output, "Reshape", &[points, shape], &[]);
    Ok(())
}

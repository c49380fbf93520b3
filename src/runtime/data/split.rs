//! A part of a dataset kept for validation.

use super::Dataset;
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::Labels;
use crate::world::rng::Key;

/// Splits off a share of a dataset: (what stays, what is kept for validation), both in the order of the dataset.
///
/// With `stratify` every class gives its share, by largest remainders, so that the whole has the size that `fraction` says and no
/// class is off by more than one sample. Which samples go is a function of `key` alone.
///
/// # Errors
/// `P0203` when the fraction is not in (0, 1) or leaves either part empty, `P0208` to stratify what has no classes.
pub fn split(dataset: &Dataset, fraction: f64, stratify: bool, key: Key) -> Result<(Dataset, Dataset)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Diagnostic::error(Code::OutOfRange, format!("`fraction` is {fraction}; it lies between 0 and 1")));
    }
    let count = dataset.len();
    let wanted = (count as f64 * fraction).round() as usize;
    if wanted == 0 || wanted >= count {
        let message = format!("{fraction} of {count} samples are {wanted}, which leaves one part empty");
        return Err(Diagnostic::error(Code::OutOfRange, message));
    }
    let groups = if stratify { by_class(dataset)? } else { vec![(0..count).collect()] };
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut taken = vec![false; count];
    for (group, (members, share)) in groups.iter().zip(shares(&sizes, wanted, count)).enumerate() {
        let order = key.named("split").with(group as u64).rng().permutation(members.len());
        for place in order.into_iter().take(share) {
            taken[members[place]] = true;
        }
    }
    let part = |which: bool| (0..count).filter(|position| taken[*position] == which).collect::<Vec<_>>();
    Ok((dataset.select(&part(false))?, dataset.select(&part(true))?))
}

fn by_class(dataset: &Dataset) -> Result<Vec<Vec<usize>>> {
    let Labels::Classes { ids, names } = dataset.labels() else {
        return Err(Diagnostic::error(Code::Conflict, "`stratify` needs labels that are classes"));
    };
    let mut groups = vec![Vec::new(); names.len()];
    for (position, id) in ids.into_iter().enumerate() {
        groups[id as usize].push(position);
    }
    Ok(groups)
}

/// Largest-remainder shares of `wanted` among groups whose sizes sum to `count`.
fn shares(sizes: &[usize], wanted: usize, count: usize) -> Vec<usize> {
    let exact = |size: usize| size as u128 * wanted as u128;
    let mut shares: Vec<usize> = sizes.iter().map(|size| (exact(*size) / count as u128) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|group| (std::cmp::Reverse(exact(sizes[*group]) % count as u128), *group));
    let missing = wanted - shares.iter().sum::<usize>();
    for group in by_remainder.into_iter().take(missing) {
        shares[group] += 1;
    }
    shares
}

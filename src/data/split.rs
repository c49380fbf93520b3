//! Takes a part out of a dataset, such as a validation set.

use super::Dataset;
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::Labels;
use crate::world::rng::Key;
use std::collections::BTreeMap;

/// What is left of `from`, and a part of `fraction` of its samples, both in ascending order of position.
///
/// Without `stratify`, round(fraction · n) samples are drawn; with it, round(fraction · n) of each class, each class by
/// its own key, so that what one class loses does not depend on the others.
///
/// # Errors
/// `P0203` for a fraction outside (0, 1), `P0503` when either side would be empty, `P0208` when there are no classes to
/// stratify by.
pub fn split(from: &Dataset, name: &str, fraction: f64, stratify: bool, key: Key) -> Result<(Dataset, Dataset)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        let message = format!("the fraction of a split lies between 0 and 1, not {fraction}");
        return Err(Diagnostic::error(Code::OutOfRange, message));
    }
    let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for position in 0..from.len() {
        groups.entry(if stratify { class(from, position)? } else { 0 }).or_default().push(position);
    }
    let mut taken = vec![false; from.len()];
    for (class, positions) in &groups {
        let count = (fraction * positions.len() as f64).round() as usize;
        let key = if stratify { key.with(*class as u64) } else { key };
        for index in key.rng().permutation(positions.len()).into_iter().take(count) {
            taken[positions[index]] = true;
        }
    }
    let side = |part: bool| -> Vec<usize> {
        (0..from.len()).filter(|position| taken[*position] == part).map(|position| from.sample(position)).collect()
    };
    let (rest, part) = (side(false), side(true));
    if rest.is_empty() || part.is_empty() {
        let left = if part.is_empty() { name } else { from.name() };
        let message = format!("a split of {fraction} of the {} samples of `{}`", from.len(), from.name());
        return Err(Diagnostic::error(Code::DataEmpty, format!("{message} leaves none for `{left}`")));
    }
    Ok((from.part(from.name(), rest), from.part(name, part)))
}

fn class(from: &Dataset, position: usize) -> Result<i64> {
    match from.labels() {
        Labels::Classes { ids, .. } => ids.get(from.sample(position)).copied().ok_or_else(|| {
            Diagnostic::error(Code::DataCorrupt, format!("`{}` has no label", from.sample_name(position)))
        }),
        _ => Err(Diagnostic::error(Code::Conflict, format!("`{}` has no classes to stratify by", from.name()))
            .help("leave out `stratify`")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::Numbers;
    use super::*;
    use crate::spec::OnError;

    fn dataset(ids: Option<Vec<i64>>, len: usize) -> Dataset {
        let labels = ids.map(|ids| Labels::Classes { ids, names: vec!["a".into(), "b".into(), "c".into()] });
        Dataset::new("train", Box::new(Numbers { len, labels, ..Numbers::default() }), None, OnError::Stop)
    }

    fn samples(set: &Dataset) -> Vec<usize> {
        (0..set.len()).map(|position| set.sample(position)).collect()
    }

    #[test]
    fn the_sides_are_disjoint_sorted_and_everything() {
        let (rest, part) = split(&dataset(None, 103), "validation", 0.1, false, Key::new(5)).unwrap();
        assert_eq!((rest.len(), part.len(), rest.name(), part.name()), (93, 10, "train", "validation"));
        let (rest, part) = (samples(&rest), samples(&part));
        assert!(rest.is_sorted() && part.is_sorted());
        let mut all = [rest, part.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        let mut drawn = Key::new(5).rng().permutation(103)[..10].to_vec();
        drawn.sort_unstable();
        assert_eq!(part, drawn);
    }

    #[test]
    fn a_split_of_a_split_keeps_the_samples() {
        let (rest, _) = split(&dataset(None, 50), "a", 0.5, false, Key::new(1)).unwrap();
        let (_, part) = split(&rest, "b", 0.2, false, Key::new(2)).unwrap();
        assert_eq!(part.len(), 5);
        assert!(samples(&part).iter().all(|sample| samples(&rest).contains(sample)));
    }

    #[test]
    fn every_class_loses_its_share() {
        // 40 of class 0, 20 of class 1, 3 of class 2.
        let ids: Vec<i64> = (0..63)
            .map(|i| {
                if i < 40 {
                    0
                } else if i < 60 {
                    1
                } else {
                    2
                }
            })
            .collect();
        let (_, part) = split(&dataset(Some(ids.clone()), 63), "validation", 0.25, true, Key::new(9)).unwrap();
        let count = |class| samples(&part).iter().filter(|sample| ids[**sample] == class).count();
        assert_eq!([count(0), count(1), count(2)], [10, 5, 1]);
    }

    #[test]
    fn sides_and_fractions_must_make_sense() {
        let code =
            |fraction, stratify| split(&dataset(None, 4), "v", fraction, stratify, Key::new(0)).unwrap_err().code();
        assert_eq!(code(0.1, false), Code::DataEmpty);
        assert_eq!(code(0.9, false), Code::DataEmpty);
        assert_eq!(code(0.5, true), Code::Conflict);
        for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(code(fraction, false), Code::OutOfRange);
        }
        assert_eq!(split(&dataset(None, 0), "v", 0.5, false, Key::new(0)).unwrap_err().code(), Code::DataEmpty);
    }
}

//! Flow maps: `{lr: 0.1, momentum: 0.9}`.

use super::read::{Pair, WHITE};
use super::{Edit, Layout};
use std::ops::Range;

impl Layout<'_> {
    /// The entries of a flow map in another order: each takes the place of another one, and what stands between the places stays. `None` where
    /// more than commas stand there.
    pub(super) fn flow(
        &self,
        inside: Range<usize>,
        pairs: &[Pair],
        order: &[usize],
        edits: &[Edit],
    ) -> Option<Vec<Edit>> {
        let places: Vec<Range<usize>> = pairs.iter().map(|pair| self.entry(pair)).collect::<Option<_>>()?;
        let mut at = inside.start;
        for (i, place) in places.iter().enumerate() {
            let between = self.text.get(at..place.start)?.trim_matches(WHITE);
            if between != if i == 0 { "" } else { "," } {
                return None;
            }
            at = place.end;
        }
        let rest = self.text.get(at..inside.end)?.trim_matches(WHITE);
        if rest.trim_start_matches(',').trim_matches(WHITE) != "}" {
            return None;
        }
        let moved = places.iter().zip(order);
        Some(
            moved
                .map(|(to, from)| Edit { range: to.clone(), text: self.apply(places[*from].clone(), edits) })
                .collect(),
        )
    }

    /// An entry with the colon of a value that is not written.
    fn entry(&self, pair: &Pair) -> Option<Range<usize>> {
        let mut end = pair.end();
        if pair.value.is_absent() {
            if pair.value.is_anchored() {
                return None;
            }
            let rest = &self.text[end..];
            let blank = rest.len() - rest.trim_start_matches(WHITE).len();
            if rest[blank..].starts_with(':') {
                end += blank + 1;
            }
        }
        Some(pair.key.range.start..end)
    }
}

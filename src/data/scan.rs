//! Decodes and transforms every sample of a dataset, to find those that a run would stop at.

use super::{Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Label};
use crate::parts::transforms::{Item, ItemType};
use crate::spec::OnError;
use rayon::prelude::*;

/// Samples that are named; the others are counted.
const NAMED: usize = 20;
/// Samples that are looked at before what is wrong with them is put away.
const CHUNK: usize = 4096;

/// What is wrong with a sample.
enum Wrong {
    /// It cannot be decoded.
    Unreadable(Diagnostic),
    /// A transform does not take it, or makes another shape of it than of the others.
    Unfit(Diagnostic),
}

/// Samples that are wrong in one way.
struct Tally {
    first: Diagnostic,
    count: usize,
    notes: Vec<String>,
}

impl Tally {
    fn add(tallies: &mut Vec<Self>, name: &str, why: Diagnostic) {
        let place = |error: &Diagnostic| match error.labels().first() {
            Some(Label::Pointer { pointer, .. }) => Some(pointer.clone()),
            _ => None,
        };
        let same = |tally: &&mut Self| tally.first.code() == why.code() && place(&tally.first) == place(&why);
        let note =
            if why.message().contains(name) { why.message().to_owned() } else { format!("{name}: {}", why.message()) };
        match tallies.iter_mut().find(same) {
            Some(tally) => {
                tally.count += 1;
                if tally.notes.len() < NAMED {
                    tally.notes.push(note);
                }
            }
            None => tallies.push(Self { first: why, count: 1, notes: vec![note] }),
        }
    }

    /// The samples by name below the sentence.
    fn list(self, found: Diagnostic) -> Diagnostic {
        let more = self.count - self.notes.len();
        let found = self.notes.into_iter().fold(found, Diagnostic::note);
        if more > 0 { found.note(format!("and {more} more")) } else { found }
    }
}

impl Dataset {
    /// What cannot be decoded or transformed, as one diagnostic for each way, which names the first samples; nothing when all is well. What
    /// cannot be decoded is a warning with `on_error: skip`, for such samples are left out. Random transforms draw what they draw in the
    /// first pass of a run.
    pub fn scan(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let due = match pipeline.shape(&self.item_type()) {
            Ok(ItemType::Array { shape }) => Some(shape),
            // What does not fit for all samples is said of the transforms.
            _ => None,
        };
        let (mut unreadable, mut unfit) = (Vec::new(), Vec::new());
        for start in (0..self.len()).step_by(CHUNK) {
            let rows = start..self.len().min(start + CHUNK);
            let look = |row: usize| Some((row, self.look_at(row, pipeline, due.as_deref()).err()?));
            let bad: Vec<(usize, Wrong)> = rows.into_par_iter().filter_map(look).collect();
            for (row, wrong) in bad {
                match wrong {
                    Wrong::Unreadable(why) => Tally::add(&mut unreadable, &self.sample_name(row), without_place(&why)),
                    Wrong::Unfit(why) => Tally::add(&mut unfit, &self.sample_name(row), why),
                }
            }
        }
        let unreadable = unreadable.into_iter().map(|tally| self.unreadable(tally));
        unreadable.chain(unfit.into_iter().map(|tally| self.unfit(tally))).collect()
    }

    fn look_at(&self, row: usize, pipeline: &Pipeline, due: Option<&[usize]>) -> Result<(), Wrong> {
        let item = self.load(row).map_err(Wrong::Unreadable)?;
        let Some(due) = due else { return Ok(()) };
        match pipeline.apply(item, 0, self.sample(row)).map_err(Wrong::Unfit)? {
            Item::Array { shape, .. } if shape != due => {
                let message = format!("its shape is {shape:?} where {due:?} is due");
                Err(Wrong::Unfit(Diagnostic::error(Code::DataShape, message)))
            }
            _ => Ok(()),
        }
    }

    fn unreadable(&self, tally: Tally) -> Diagnostic {
        let message = format!("{} of {} samples of `{}` cannot be read", tally.count, self.len(), self.name());
        let found = match self.on_error() {
            OnError::Stop => Diagnostic::error(Code::DataCorrupt, message)
                .help("repair or remove them, or write `data: {on_error: skip}`"),
            OnError::Skip => Diagnostic::warning(Code::DataCorrupt, message).help("they weigh nothing in training"),
        };
        tally.list(found)
    }

    fn unfit(&self, tally: Tally) -> Diagnostic {
        let message = format!("{} of {} samples of `{}` do not fit", tally.count, self.len(), self.name());
        let found = Diagnostic::error(tally.first.code(), message);
        let found = match tally.first.labels().first() {
            Some(Label::Pointer { pointer, key: true, .. }) => found.at_key(pointer, "does not take them"),
            Some(Label::Pointer { pointer, .. }) => found.at(pointer, "does not take them"),
            _ => found,
        };
        let found = match tally.first.help_text() {
            Some(help) => found.help(help),
            None => found,
        };
        tally.list(found)
    }
}

/// Samples that cannot be read are all told together, whatever the decoder said.
fn without_place(why: &Diagnostic) -> Diagnostic {
    let plain = Diagnostic::error(Code::DataCorrupt, why.message());
    why.notes().iter().fold(plain, Diagnostic::note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::Numbers;
    use crate::diag::Severity;
    use crate::parts::Chosen;
    use crate::world::rng::Key;
    use serde_json::json;

    fn plain() -> Pipeline {
        Pipeline::build(&[], Key::new(0)).unwrap()
    }

    fn scan(numbers: Numbers, on_error: OnError, pipeline: &Pipeline) -> Vec<Diagnostic> {
        Dataset::new("a", Box::new(numbers), None, on_error).scan(pipeline)
    }

    #[test]
    fn the_first_ones_are_named_and_all_are_counted() {
        let numbers = |broken: Vec<usize>| Numbers { len: 9000, broken, ..Numbers::default() };
        assert!(scan(numbers(Vec::new()), OnError::Stop, &plain()).is_empty());
        let found = scan(numbers((5..30).chain([8000]).collect()), OnError::Stop, &plain()).remove(0);
        assert_eq!(found.message(), "26 of 9000 samples of `a` cannot be read");
        assert_eq!((found.notes().len(), found.notes()[0].as_str()), (21, "number 5 is broken"));
        assert_eq!(found.notes()[20], "and 6 more");
        let skipped = scan(numbers(vec![1]), OnError::Skip, &plain()).remove(0);
        assert_eq!(skipped.severity(), Severity::Warning);
    }

    #[test]
    fn samples_that_transforms_do_not_take_are_told_by_transform() {
        let mut normalize = Chosen::new("normalize", json!({"mean": [0.0, 0.0], "std": 2.0}));
        "/data/transforms/0/normalize".clone_into(&mut normalize.at);
        let pipeline = Pipeline::build(&[normalize], Key::new(0)).unwrap();
        let odd = || Numbers { len: 10, odd: vec![2, 7], broken: vec![4], ..Numbers::default() };
        let found = scan(odd(), OnError::Skip, &pipeline);
        assert_eq!(found[0].message(), "1 of 10 samples of `a` cannot be read");
        assert_eq!((found[1].code(), found[1].message()), (Code::DataShape, "2 of 10 samples of `a` do not fit"));
        assert_eq!(found[1].notes()[0], "number 2: `mean` has 2 numbers, the data has 3 channels");
        assert!(matches!(&found[1].labels()[0], Label::Pointer { pointer, .. } if pointer.ends_with("normalize/mean")));
        // Where no transform objects, the shape does.
        let found = scan(odd(), OnError::Stop, &plain());
        assert_eq!(found[1].notes()[1], "number 7: its shape is [3] where [2] is due");
    }
}

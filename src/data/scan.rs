//! Decodes every sample of a dataset, to find those that cannot be read before a run does.

use super::Dataset;
use crate::diag::{Code, Diagnostic};
use crate::spec::OnError;
use rayon::prelude::*;

/// Samples that are named; the others are counted.
const NAMED: usize = 20;

impl Dataset {
    /// What cannot be decoded, as one diagnostic that names the first ones; nothing when all can. With `on_error: skip` it is a warning.
    pub fn scan(&self) -> Option<Diagnostic> {
        let decode = |row: usize| self.load(row).err().map(|error| (self.sample_name(row), error));
        let bad: Vec<(String, Diagnostic)> = (0..self.len()).into_par_iter().filter_map(decode).collect();
        if bad.is_empty() {
            return None;
        }
        let message = format!("{} of {} samples of `{}` cannot be read", bad.len(), self.len(), self.name());
        let found = match self.on_error() {
            OnError::Stop => Diagnostic::error(Code::DataCorrupt, message)
                .help("repair or remove them, or write `data: {on_error: skip}`"),
            OnError::Skip => Diagnostic::warning(Code::DataCorrupt, message).help("they weigh nothing in training"),
        };
        let found = bad.iter().take(NAMED).fold(found, |found, (name, why)| {
            if why.message().contains(name.as_str()) {
                found.note(why.message())
            } else {
                found.note(format!("{name}: {}", why.message()))
            }
        });
        Some(match bad.len().checked_sub(NAMED).filter(|more| *more > 0) {
            Some(more) => found.note(format!("and {more} more")),
            None => found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::Numbers;
    use crate::diag::Severity;

    #[test]
    fn the_first_ones_are_named_and_all_are_counted() {
        let numbers = |broken: Vec<usize>| Box::new(Numbers { len: 40, broken, ..Numbers::default() });
        assert!(Dataset::new("a", numbers(Vec::new()), None, OnError::Stop).scan().is_none());
        let found = Dataset::new("a", numbers((5..30).collect()), None, OnError::Stop).scan().unwrap();
        assert_eq!(found.message(), "25 of 40 samples of `a` cannot be read");
        assert_eq!((found.notes().len(), found.notes()[0].as_str()), (21, "number 5 is broken"));
        assert_eq!(found.notes()[20], "and 5 more");
        let skipped = Dataset::new("a", numbers(vec![1]), None, OnError::Skip).scan().unwrap();
        assert_eq!(skipped.severity(), Severity::Warning);
    }
}

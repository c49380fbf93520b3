//! Metrics that are a ratio for each class, and how those become one number.

use super::{Metric, Predictions, Score, Tally, tallies};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// How scores of classes become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Average {
    /// Mean over the classes that occur among labels or answers.
    #[default]
    Macro,
    /// From the hits and misses of all classes together.
    Micro,
    /// Mean over classes, weighted by how often each occurs among the labels.
    Weighted,
    /// The class 1 alone.
    Binary,
}

impl Average {
    /// The average of a ratio (hits, missed, false alarms) → value that is 0 where it is 0/0.
    pub(super) fn of(self, tallies: &[Tally], ratio: impl Fn(&Tally) -> f64) -> f64 {
        let value = |tally: &Tally| Some(ratio(tally)).filter(|value| !value.is_nan()).unwrap_or(0.0);
        let seen = || tallies.iter().filter(|tally| tally.hits + tally.missed + tally.false_alarms > 0.0);
        if seen().next().is_none() {
            return f64::NAN;
        }
        match self {
            Average::Macro => seen().map(value).sum::<f64>() / seen().count() as f64,
            Average::Micro => value(&tallies.iter().fold(Tally::default(), |all, tally| Tally {
                hits: all.hits + tally.hits,
                missed: all.missed + tally.missed,
                false_alarms: all.false_alarms + tally.false_alarms,
            })),
            Average::Weighted => {
                let total: f64 = tallies.iter().map(Tally::truth).sum();
                tallies.iter().map(|tally| tally.truth() * value(tally)).sum::<f64>() / total
            }
            Average::Binary => tallies.get(1).map_or(f64::NAN, value),
        }
    }

    /// `f1`, `f1_micro` …
    pub(super) fn name(self, metric: &str) -> String {
        match self {
            Average::Macro => metric.to_owned(),
            Average::Micro => format!("{metric}_micro"),
            Average::Weighted => format!("{metric}_weighted"),
            Average::Binary => format!("{metric}_binary"),
        }
    }
}

/// What such a metric is configured with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Averaged {
    /// How classes become one number.
    #[serde(default)]
    average: Average,
}

/// A ratio of hits, missed and false alarms for each class; larger is better.
struct Ratio {
    name: &'static str,
    average: Average,
    of: fn(&Tally) -> f64,
}

impl Averaged {
    /// The metric of a ratio, which is 0 where it is 0/0.
    pub(super) fn build(config: &Value, name: &'static str, of: fn(&Tally) -> f64) -> Result<Box<dyn Metric>> {
        let Self { average } = decode(config)?;
        Ok(Box::new(Ratio { name, average, of }))
    }
}

impl Metric for Ratio {
    fn name(&self) -> String {
        self.average.name(self.name)
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        Score::Number(self.average.of(&tallies(predictions), self.of))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, sample};
    use serde_json::json;

    /// Asserts what a metric makes of the sample by each average, in the order macro, micro, weighted, binary.
    pub(in crate::parts::metrics) fn averages(build: fn(&Value) -> Result<Box<dyn Metric>>, wanted: [f64; 4]) {
        let (scores, labels) = sample();
        let predictions = classes(&scores, 3, &labels, &[1.0; 8]);
        for (average, wanted) in ["macro", "micro", "weighted", "binary"].into_iter().zip(wanted) {
            let seen = number(build(&json!({"average": average})).unwrap().as_ref(), &predictions);
            assert!((seen - wanted).abs() < 1e-12, "{average}: {seen} is not {wanted}");
        }
        assert!(number(build(&json!({})).unwrap().as_ref(), &classes(&[], 3, &[], &[])).is_nan());
        assert!(build(&json!({"average": "mean"})).is_err());
    }
}

//! How scores of classes become one number.

use super::Tally;
use schemars::JsonSchema;
use serde::Deserialize;

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

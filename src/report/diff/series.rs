//! What `metrics.jsonl` and `timing.jsonl` of a run say in the end.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a metric came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Values {
    /// Of the exported weights; of a run that is not finished, the last one.
    #[serde(rename = "final")]
    pub last: f64,
    /// The best of all that were measured.
    pub best: f64,
}

/// Metrics by name, and the time.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    pub(super) values: BTreeMap<String, Values>,
    pub(super) seconds: Option<f64>,
    /// Lines that are no JSON.
    pub(super) damaged: usize,
}

/// Reads both files; `larger_is_better` has the metrics that say so, all else is better when smaller.
pub(super) fn read(metrics: &str, timing: &str, larger_is_better: &BTreeMap<String, bool>) -> Series {
    let mut series = Series::default();
    for line in metrics.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(event) => series.event(&event, larger_is_better),
            Err(_) => series.damaged += 1,
        }
    }
    series.seconds = seconds(timing);
    series
}

impl Series {
    fn event(&mut self, event: &Value, larger_is_better: &BTreeMap<String, bool>) {
        match event["event"].as_str() {
            Some("step") => {
                for name in ["loss", "objective"] {
                    self.take(format!("step.{name}"), &event[name], false);
                }
                self.values.insert("steps".to_owned(), whole(&event["step"]));
            }
            Some("evaluated") => {
                let dataset = event["dataset"].as_str().unwrap_or_default();
                for (metric, value) in event["scores"]["numbers"].as_object().into_iter().flatten() {
                    let larger = larger_is_better.get(metric).copied().unwrap_or(false);
                    self.take(format!("{dataset}.{metric}"), value, larger);
                }
            }
            _ => {}
        }
    }

    /// JSON has no NaN: what is `null` was one.
    fn take(&mut self, name: String, value: &Value, larger: bool) {
        let last = value.as_f64().unwrap_or(f64::NAN);
        let best = self.values.get(&name).map_or(last, |before| match before.best {
            best if best.is_nan() => last,
            best if larger => best.max(last),
            best => best.min(last),
        });
        self.values.insert(name, Values { last, best });
    }
}

fn whole(value: &Value) -> Values {
    let number = value.as_f64().unwrap_or(f64::NAN);
    Values { last: number, best: number }
}

/// Seconds of all parts of a run: each resumption starts at 0 again.
fn seconds(timing: &str) -> Option<f64> {
    let lines = timing.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seconds"].as_f64());
    let (mut before, mut last) = (0.0, None);
    for at in lines {
        match last {
            Some(then) if at < then => before += then,
            _ => {}
        }
        last = Some(at);
    }
    last.map(|last| before + last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_and_the_best_value_are_told_apart() {
        let metrics = r#"{"event":"phase","phase":1}
{"event":"step","step":1,"loss":3.0,"objective":3.5}
{"event":"evaluated","dataset":"test","scores":{"numbers":{"accuracy":0.9,"loss":null}}}
{"event":"step","step":2,"loss":4.0,"objective":4.5}
{"event":"evaluated","dataset":"test","scores":{"numbers":{"accuracy":0.5,"loss":2.0}},"last":true}
{"event":"evalua"#;
        let timing = "{\"seconds\":1.5}\n{\"seconds\":3.0}\n{\"seconds\":0.5}\n{\"seconds\":2.0}\n{\"sec";
        let series = read(metrics, timing, &BTreeMap::from([("accuracy".to_owned(), true)]));
        let of = |name: &str| (series.values[name].last, series.values[name].best);
        assert_eq!(of("test.accuracy"), (0.5, 0.9));
        assert_eq!(of("test.loss"), (2.0, 2.0));
        assert_eq!(of("step.loss"), (4.0, 3.0));
        assert_eq!(of("steps"), (2.0, 2.0));
        assert_eq!((series.damaged, series.seconds), (1, Some(5.0)));
        assert_eq!(read("", "", &BTreeMap::new()).seconds, None);
    }
}

//! The loader: the same bytes for any number of threads, bad samples, early drops; splits.

use super::{Batch, BatchSpec, Dataset, Options, Pipeline, pool, split, stream};
use crate::diag::{Code, Diagnostic, Result, Severity};
use crate::parts::Family;
use crate::parts::sources::{Image, Item, ItemType, Labels, Samples};
use crate::parts::transforms::{Transform, Transforms};
use crate::spec::OnError;
use crate::world::rng::Key;
use serde_json::{Value, json};
use std::sync::Arc;

/// Noise of varying sizes; every seventh sample from `bad` on cannot be read, one of them panics.
struct Noise {
    labels: Labels,
    bad: usize,
}

impl Samples for Noise {
    fn len(&self) -> usize {
        60
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn shape(&self) -> ItemType {
        ItemType::Image { h: None, w: None, channels: 3 }
    }
    fn load(&self, i: usize) -> Result<Item> {
        assert!(i != self.bad, "decoder bug");
        if i > self.bad && (i - self.bad) % 7 == 0 {
            return Err(Diagnostic::error(Code::DataCorrupt, format!("cannot decode `{}`", self.name(i))).note("torn"));
        }
        let (height, width) = (20 + i % 9, 24 + i % 5);
        let mut rng = Key::new(1).with(i as u64).rng();
        let data = (0..height * width * 3).map(|_| rng.below(256) as u8).collect();
        Ok(Item::Image(Image { height, width, channels: 3, data }))
    }
    fn name(&self, i: usize) -> String {
        format!("noise {i}")
    }
    fn content(&self, _: usize) -> Result<[u8; 32]> {
        Ok([0; 32])
    }
}

fn dataset(bad: usize) -> Arc<Dataset> {
    let ids = (0..60).map(|i| i64::from(i % 10 == 0)).collect();
    let labels = Labels::Classes { ids, names: vec!["a".to_owned(), "b".to_owned()] };
    Arc::new(Dataset::new(Box::new(Noise { labels, bad }), None))
}

fn transform(kind: &str, config: Value) -> Box<dyn Transform> {
    (Transforms::rows().iter().find(|row| row.kind.name == kind).unwrap().build)(&config).unwrap()
}

fn augmenting(seed: u64) -> Arc<Pipeline> {
    let transforms = vec![
        transform("resize", json!({"size": 22})),
        transform("random_resized_crop", json!({"size": [12, 10]})),
        transform("horizontal_flip", json!({})),
        transform("rotation", json!({"degrees": 20})),
        transform("color_jitter", json!({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1})),
        transform("random_crop", json!({"size": 8, "padding": 1})),
        transform("to_tensor", json!({})),
        transform("normalize", json!({"mean": 0.5, "std": [0.1, 0.2, 0.3]})),
    ];
    Arc::new(Pipeline::new(transforms, Key::new(seed).named("augment").named("train")))
}

fn specs(count: usize, pass: u64) -> Vec<BatchSpec> {
    let mut rows: Vec<Option<usize>> = (0..count).map(Some).collect();
    rows.resize(count.next_multiple_of(7), None);
    rows.chunks(7).map(|rows| BatchSpec { rows: rows.to_vec(), pass }).collect()
}

fn run(dataset: &Arc<Dataset>, seed: u64, pass: u64, threads: usize, on_error: OnError) -> Result<Vec<Batch>> {
    let options = Options { pool: pool(threads).unwrap(), prefetch: 3, on_error };
    stream(Arc::clone(dataset), augmenting(seed), specs(dataset.len(), pass), options)?.collect()
}

fn bits(batches: &[Batch]) -> Vec<u32> {
    batches.iter().flat_map(|batch| batch.x.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn batches_do_not_depend_on_threads_but_on_seed_and_pass() {
    let data = dataset(1000);
    let one = run(&data, 0, 0, 1, OnError::Stop).unwrap();
    assert_eq!(one.len(), 9);
    assert_eq!(one[0].shape, [7, 3, 8, 8]);
    assert_eq!(one[0].weights, [1.0; 7]);
    assert_eq!(one[0].classes, [1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(one[8].weights, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    assert!(one[8].x[4 * 192..].iter().all(|x| *x == 0.0) && one[8].x[..4 * 192].iter().any(|x| *x != 0.0));
    for threads in [2, 5] {
        assert!(bits(&one) == bits(&run(&data, 0, 0, threads, OnError::Stop).unwrap()), "{threads} threads");
    }
    assert!(bits(&one) != bits(&run(&data, 0, 1, 2, OnError::Stop).unwrap()), "a pass of its own");
    assert!(bits(&one) != bits(&run(&data, 1, 0, 2, OnError::Stop).unwrap()), "a seed of its own");
}

#[test]
fn augmentation_counts_by_sample_and_not_by_place() {
    let data = dataset(1000);
    let all = run(&data, 0, 0, 2, OnError::Stop).unwrap();
    let part = Arc::new(data.select(&[13, 3]).unwrap());
    let batch = &run(&part, 0, 0, 2, OnError::Stop).unwrap()[0];
    assert!(batch.x[..192] == all[1].x[6 * 192..7 * 192] && batch.x[192..384] == all[0].x[3 * 192..4 * 192]);
}

#[test]
fn stop_names_the_bad_samples_of_a_batch_in_one_error() {
    let error = run(&dataset(3), 0, 0, 2, OnError::Stop).unwrap_err();
    assert_eq!(error.code(), Code::DataCorrupt);
    assert!(error.message().contains("noise 3") && error.notes()[0].contains("decoder bug"), "{error:?}");
    let data = dataset(3);
    let options = Options { pool: pool(2).unwrap(), prefetch: 2, on_error: OnError::Stop };
    let rows = (0..60).map(Some).collect();
    let mut batches = stream(data, augmenting(0), vec![BatchSpec { rows, pass: 0 }; 3], options).unwrap();
    let error = batches.next().unwrap().unwrap_err();
    assert!(error.message().starts_with("9 samples"), "{error:?}");
    assert_eq!(error.notes().len(), 9);
    assert!(batches.next().is_none());
}

#[test]
fn skip_gives_weight_zero_and_warns_once_a_sample() {
    let data = dataset(3);
    let first = run(&data, 0, 0, 2, OnError::Skip).unwrap();
    let again = run(&data, 0, 0, 5, OnError::Skip).unwrap();
    assert!(bits(&first) == bits(&again));
    assert_eq!(first[0].weights, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    assert!(first[0].x[3 * 192..4 * 192].iter().all(|x| *x == 0.0));
    assert_eq!(first[0].skipped.len(), 1);
    assert_eq!(first.iter().map(|batch| batch.skipped.len()).sum::<usize>(), 9);
    let warnings = data.warnings();
    assert_eq!(warnings.len(), 9);
    assert!(warnings.iter().all(|warning| warning.severity() == Severity::Warning));
    assert!(warnings[0].message().contains("noise 3") && warnings[1].message().contains("noise 10"));
}

#[test]
fn a_stream_can_be_dropped_at_any_time_and_its_memory_comes_back() {
    let data = dataset(1000);
    for taken in 0..5 {
        let options = Options { pool: pool(2).unwrap(), prefetch: 3, on_error: OnError::Stop };
        let mut batches = stream(Arc::clone(&data), augmenting(0), specs(60, 0), options).unwrap();
        for _ in 0..taken {
            let batch = batches.next().unwrap().unwrap();
            batches.recycle(batch);
        }
    }
    // A recycled buffer must not show through, padding included.
    let options = Options { pool: pool(1).unwrap(), prefetch: 1, on_error: OnError::Stop };
    let mut batches = stream(Arc::clone(&data), augmenting(0), specs(60, 0), options).unwrap();
    let plain = run(&data, 0, 0, 1, OnError::Stop).unwrap();
    for expected in &plain {
        let batch = batches.next().unwrap().unwrap();
        assert!(batch.x == expected.x);
        batches.recycle(batch);
    }
    assert!(batches.next().is_none());
}

#[test]
fn transforms_that_leave_sizes_open_are_refused_before_anything_is_read() {
    let options = Options { pool: pool(1).unwrap(), prefetch: 1, on_error: OnError::Stop };
    let open = |transforms: Vec<Box<dyn Transform>>| {
        let pipeline = Arc::new(Pipeline::new(transforms, Key::new(0)));
        stream(dataset(0), pipeline, specs(60, 0), options.clone()).err().map(|error| error.code())
    };
    assert_eq!(open(vec![]), Some(Code::DataShape));
    assert_eq!(open(vec![transform("to_tensor", json!({}))]), Some(Code::DataShape));
    let normalize = transform("normalize", json!({"mean": 0, "std": 1}));
    assert_eq!(open(vec![transform("center_crop", json!({"size": 3})), normalize]), Some(Code::DataShape));
    let short = transform("normalize", json!({"mean": [0, 0], "std": 1}));
    let chain = vec![transform("center_crop", json!({"size": 3})), transform("to_tensor", json!({})), short];
    assert_eq!(open(chain), Some(Code::DataShape));
}

#[test]
fn a_split_is_a_partition_that_keeps_the_share_of_classes() {
    let data = dataset(1000);
    let key = Key::new(4);
    let (rest, kept) = split(&data, 0.25, true, key).unwrap();
    assert_eq!((rest.len(), kept.len()), (45, 15));
    let share = |part: &Dataset| (0..part.len()).filter(|p| part.class(*p) == Some(1)).count();
    // 6 of 60 are of class 1: a quarter is 1.5, the other class's is 13.5.
    assert!((1..=2).contains(&share(&kept)) && share(&kept) + share(&rest) == 6);
    let indices = |part: &Dataset| (0..part.len()).map(|p| part.index(p).unwrap()).collect::<Vec<_>>();
    assert!(indices(&kept).is_sorted() && indices(&rest).is_sorted());
    let mut all = [indices(&rest), indices(&kept)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    assert_eq!(indices(&split(&data, 0.25, true, key).unwrap().1), indices(&kept));
    assert_ne!(indices(&split(&data, 0.25, true, Key::new(5)).unwrap().1), indices(&kept));
    assert_eq!(split(&data, 0.5, false, key).unwrap().1.len(), 30);
    for fraction in [0.0, 1.0, -1.0, f64::NAN, 0.001, 0.999] {
        assert_eq!(split(&data, fraction, false, key).err().map(|e| e.code()), Some(Code::OutOfRange), "{fraction}");
    }
}

//! Runs the frozen prefix over a dataset, unless the cache has its features.

use super::event::{Event, Sink};
use super::features::{self, FeatureBatch, Store};
use super::feed::{Feed, LastBatch, Source, cut};
use super::step::Column;
use crate::diag::Result;
use crate::graph::{Cut, Network, prefix_graph};
use crate::ir::{DType, onnx};
use crate::native::{self, Buffer, Options, Session};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Samples a run of the prefix takes at once.
const BATCH: usize = 16;

/// The features of a dataset, from the cache or computed now.
pub(super) fn features(
    network: &Network,
    cut_at: &Cut,
    feed: &Feed,
    transforms: &str,
    cache: &Path,
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<Arc<Store>> {
    let graph = prefix_graph(network, cut_at);
    let encoded = onnx::encode(&graph);
    let key = key(&encoded, feed, transforms)?;
    let path = features::path(cache, &key);
    let samples = feed.dataset.len();
    let what = format!("features {}", feed.dataset.name());
    if let Some(store) = Store::open(&path, samples, &cut_at.shapes) {
        sink.event(&Event::Cached { what })?;
        return Ok(Arc::new(store));
    }
    sink.event(&Event::Began { what, total: samples as u64 })?;
    let mut session = Session::from_bytes(&encoded, options)?;
    drop(encoded);
    let input = network.graph.name(network.input).to_owned();
    let outputs: Vec<String> = cut_at.values.iter().map(|value| network.graph.name(*value).to_owned()).collect();
    let order: Vec<usize> = (0..samples).collect();
    let mut full: Option<Buffer> = None;
    let mut done = 0;
    let mut reported = Vec::new();
    let mut told = Ok(());
    let batches = feed.batches(cut(&order, BATCH, LastBatch::Short), 0).map(|fed| {
        let fed = fed?;
        let rows = fed.rows.len();
        reported.extend(fed.skipped);
        let mut shape = vec![rows];
        shape.extend(&network.sample);
        let mut buffer = match full.take().filter(|buffer| buffer.shape() == shape) {
            Some(buffer) => buffer,
            None => Buffer::new(DType::F32, &shape)?,
        };
        buffer.f32_mut().copy_from_slice(fed.micro.data.first().map_or(&[], Column::f32));
        let made = session.run(&[(input.as_str(), &buffer)])?;
        let values = outputs.iter().map(|name| made.f32(name).map(<[f32]>::to_vec)).collect::<Result<Vec<_>>>()?;
        full = Some(buffer);
        done += rows as u64;
        if told.is_ok() {
            told = sink.event(&Event::Progress { done });
        }
        Ok(FeatureBatch { rows, values, weights: fed.micro.weights })
    });
    features::write(&path, samples, &cut_at.shapes, batches)?;
    told?;
    for warning in reported {
        sink.event(&Event::Warning(warning))?;
    }
    features::reopen(&path, samples, &cut_at.shapes).map(Arc::new)
}

/// Everything that the features depend on: prefix and weights, samples, transforms, library, instruction set, revisions.
fn key(encoded: &[u8], feed: &Feed, transforms: &str) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&features::REVISION.to_le_bytes());
    hasher.update(&crate::data::REVISION.to_le_bytes());
    hasher.update(blake3::hash(encoded).as_bytes());
    hasher.update(transforms.as_bytes());
    hasher.update(native::build_info()?.as_bytes());
    hasher.update(crate::world::env::instruction_set().as_bytes());
    let count = feed.dataset.len();
    let content: Vec<_> =
        (0..count).into_par_iter().map(|row| feed.dataset.content(row)).collect::<Result<Vec<_>>>()?;
    for digest in content {
        hasher.update(&digest);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

impl Feed {
    /// The same dataset, read from features.
    pub(super) fn reading(&self, store: Arc<Store>) -> Self {
        Self { dataset: Arc::clone(&self.dataset), source: Source::Store(store), keys: self.keys, width: self.width }
    }
}

//! Runs the frozen prefix over a dataset, unless the cache has its features.

use super::event::{Event, Sink};
use super::features::{self, FeatureBatch, Features};
use super::feed::{Feed, LastBatch, Source, cut};
use super::step::Column;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{Cut, Network, prefix_graph};
use crate::ir::{DType, onnx};
use crate::native::{Buffer, Options, Session};
use crate::plan::{FEATURE_BATCH, FEATURE_ENTRIES, Reuse};
use crate::world::{Store, StoreKey as Key};
use std::sync::Arc;

/// What a frozen prefix is run over, and where its values go.
pub(super) struct Prefix<'r> {
    pub(super) network: &'r Network,
    pub(super) cut: &'r Cut,
    pub(super) feed: Feed,
    pub(super) store: &'r Store,
    pub(super) key: &'r Key,
    pub(super) reuse: Reuse,
}

impl Prefix<'_> {
    /// Samples are read on so many threads.
    pub(super) fn with_threads(mut self, threads: usize) -> Self {
        self.feed.source.set_threads(threads);
        self
    }

    /// The features of the dataset, from the store or computed now. `halt` is asked before every batch.
    pub(super) fn features(
        &self,
        options: &Options,
        halt: &dyn Fn() -> bool,
        sink: &mut dyn Sink,
    ) -> Result<Arc<Features>> {
        let what = format!("features {}", self.feed.dataset.name());
        let open = || Features::open(self.store, self.key, self.feed.dataset.len(), &self.cut.shapes).map(Arc::new);
        if self.reuse != Reuse::Nothing
            && let Some(features) = open()
        {
            sink.event(&Event::Cached { what, lines: Vec::new() })?;
            return Ok(features);
        }
        // Whoever else makes them now is waited for.
        let making = self.store.try_make(FEATURE_ENTRIES, self.key)?;
        if making.is_none() {
            sink.event(&Event::Waiting { what: what.clone() })?;
        }
        let _making = making.map_or_else(|| self.store.make(FEATURE_ENTRIES, self.key), Ok)?;
        if let Some(features) = open() {
            sink.event(&Event::Cached { what, lines: Vec::new() })?;
            return Ok(features);
        }
        self.compute(options, halt, sink)
    }

    fn compute(&self, options: &Options, halt: &dyn Fn() -> bool, sink: &mut dyn Sink) -> Result<Arc<Features>> {
        let Self { network, feed, .. } = self;
        let samples = feed.dataset.len();
        let what = format!("features {}", feed.dataset.name());
        sink.event(&Event::Began { what, total: samples as u64 })?;
        let mut session = Session::from_bytes(&onnx::encode(&prefix_graph(network, self.cut)), options)?;
        let input = network.graph.name(network.input).to_owned();
        let outputs: Vec<String> = self.cut.values.iter().map(|value| network.graph.name(*value).to_owned()).collect();
        let order: Vec<usize> = (0..samples).collect();
        let mut full: Option<Buffer> = None;
        let mut done = 0;
        let mut reported = Vec::new();
        let mut told = Ok(());
        let batches = feed.batches(cut(&order, FEATURE_BATCH, LastBatch::Short), 0).map(|fed| {
            let fed = fed?;
            if halt() {
                return Err(Diagnostic::error(Code::Interrupted, "the run was stopped while features were computed")
                    .help("`pipe run SPEC` starts with them again"));
            }
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
        features::write(self.store, self.key, samples, &self.cut.shapes, batches)?;
        told?;
        for warning in reported {
            sink.event(&Event::Warning(warning))?;
        }
        features::reopen(self.store, self.key, samples, &self.cut.shapes).map(Arc::new)
    }
}

impl Feed {
    /// The same dataset, read from features.
    pub(super) fn reading(&self, store: Arc<Features>) -> Self {
        Self { dataset: Arc::clone(&self.dataset), source: Source::Store(store), keys: self.keys, width: self.width }
    }
}

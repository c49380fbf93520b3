//! Steps that are not run again: what they made is kept in the store and served from it.
//!
//! An entry holds the lines that a step wrote to `metrics.jsonl`, so that a run that is served leaves the same bytes as one that ran.

use super::checkpoint;
use super::checkpoint::{Checkpoint, Moment};
use super::evaluate::Raw;
use super::event::{Event, Scores};
use super::execute::Run;
use super::saved::{Found, Saved};
use crate::diag::{Code, Diagnostic, Result};
use crate::plan::{Reuse, STEP_ENTRIES, Step};
use crate::world::{self, Lock, StoreKey as Key};
use petgraph::graph::NodeIndex;
use rayon::prelude::*;
use serde_json::{Value, json};

impl Run<'_> {
    /// Takes what a step made from the store; `false` when the entry is not whole.
    pub(super) fn serve(&mut self, node: NodeIndex) -> Result<bool> {
        let Some(key) = self.keys.get(node).cloned() else { return Ok(false) };
        let step = &self.plan.dag[node];
        if let Step::Features { phase, set } = step {
            return self.serve_features(*phase, set, &key);
        }
        let Some(saved) = Found::get(&self.store, STEP_ENTRIES, &key) else { return Ok(false) };
        match step {
            Step::Train { phase } => self.serve_training(*phase, &key, &saved),
            Step::Evaluate { set } => self.serve_evaluation(set, &key, &saved),
            Step::Export => self.serve_export(&key, &saved),
            _ => Ok(false),
        }
    }

    /// Takes an entry out of the store that turned out not to be whole.
    pub(super) fn discard(&self, node: NodeIndex) -> Result<()> {
        match (self.plan.dag[node].entries(), self.keys.get(node)) {
            (Some(kind), Some(key)) => self.store.discard(kind, key),
            _ => Ok(()),
        }
    }

    fn cached(&mut self, key: &Key, saved: &Found) -> Result<()> {
        self.sink.event(&Event::Cached { what: key.what.clone(), lines: saved.part("lines").to_vec() })
    }

    fn serve_training(&mut self, phase: usize, key: &Key, saved: &Found) -> Result<bool> {
        let place = self.store.path(STEP_ENTRIES, &key.digest());
        let Ok(found) = checkpoint::decode(&place, saved.part("checkpoint")) else { return Ok(false) };
        let Checkpoint { mut progress, weights, states, averages, best } = found;
        progress.spec = std::mem::take(&mut self.progress.spec);
        // The numbers of a phase do not say which one it was when it was stored.
        progress.phase = phase;
        progress.phase_bytes = self.sink.flush()?;
        progress.ground = self.progress.ground.take();
        self.weights.restore(&weights)?;
        self.states = states;
        self.averages = averages;
        self.best = best;
        self.progress = progress;
        self.cached(key, saved)?;
        self.checkpoint(Moment::Epoch)?;
        Ok(true)
    }

    fn serve_evaluation(&mut self, set: &str, key: &Key, saved: &Found) -> Result<bool> {
        let found: Option<Scores> = serde_json::from_value(saved.value["scores"].clone()).ok();
        let units = saved.value["units"].as_u64().and_then(|units| usize::try_from(units).ok());
        let (Some(found), Some(units)) = (found, units) else { return Ok(false) };
        self.finish_training()?;
        let scores = saved.part("raw").as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
        self.cached(key, saved)?;
        self.summary.scores.insert(set.to_owned(), found);
        self.raw.insert(set.to_owned(), Raw { scores, units });
        Ok(true)
    }

    fn serve_export(&mut self, key: &Key, saved: &Found) -> Result<bool> {
        self.finish_training()?;
        self.cached(key, saved)?;
        let files: Vec<(&str, &[u8])> = saved.parts().collect();
        // Most of the time goes by until they are safe on disk.
        files.par_iter().try_for_each(|(file, bytes)| {
            world::write_atomic(&self.options.folder.file(file), |out| out.write_all(bytes))
        })?;
        files.iter().try_for_each(|(file, _)| self.wrote(file))?;
        Ok(true)
    }

    /// Trains a phase, unless another run does so meanwhile, and stores what it made.
    pub(super) fn train_and_store(
        &mut self,
        node: NodeIndex,
        phase: usize,
        pool: &rayon::ThreadPool,
    ) -> std::result::Result<(), Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let Some(key) = self.keys.get(node).cloned() else { return self.train(phase, pool) };
        let Some(_making) = self.making(node, &key).map_err(one)? else { return Ok(()) };
        self.train(phase, pool)?;
        let bytes = checkpoint::encode(&self.store.path(STEP_ENTRIES, &key.digest()), &self.snapshot()).map_err(one)?;
        let from = self.progress.phase_bytes;
        let parts = vec![("lines".to_owned(), self.lines(from).map_err(one)?), ("checkpoint".to_owned(), bytes)];
        self.keep(&key, &Saved { value: Value::Null, parts }).map_err(one)
    }

    /// Takes the right to make an entry. When another run has made it meanwhile, its result is taken instead, and there is nothing left to do.
    fn making(&mut self, node: NodeIndex, key: &Key) -> Result<Option<Lock>> {
        let making = if let Some(making) = self.store.try_make(STEP_ENTRIES, key)? {
            making
        } else {
            self.sink.event(&Event::Waiting { what: key.what.clone() })?;
            self.store.make(STEP_ENTRIES, key)?
        };
        let wanted = self.options.reuse == Reuse::All && !self.resumed;
        let taken = wanted && self.store.has(STEP_ENTRIES, key) && self.serve(node)?;
        Ok((!taken).then_some(making))
    }

    /// Stores what a final evaluation found; its lines begin at `from`.
    pub(super) fn store_evaluation(&mut self, node: NodeIndex, from: u64, scores: &Scores, raw: &Raw) -> Result<()> {
        let Some(key) = self.keys.get(node).cloned() else { return Ok(()) };
        let value = json!({ "scores": scores, "units": raw.units });
        let bytes = raw.scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        let parts = vec![("lines".to_owned(), self.lines(from)?), ("raw".to_owned(), bytes)];
        self.keep(&key, &Saved { value, parts })
    }

    /// Writes the model and stores its files.
    pub(super) fn export_and_store(&mut self, node: NodeIndex) -> Result<()> {
        let before = self.summary.files.len();
        self.export()?;
        let Some(key) = self.keys.get(node).cloned() else { return Ok(()) };
        let mut parts = Vec::new();
        for file in &self.summary.files[before..] {
            parts.push((file.clone(), world::read(&self.options.folder.file(file))?));
        }
        self.keep(&key, &Saved { value: Value::Null, parts })
    }

    /// What was written to `metrics.jsonl` from a place on.
    fn lines(&mut self, from: u64) -> Result<Vec<u8>> {
        let to = self.sink.flush()?;
        if to <= from {
            return Ok(Vec::new());
        }
        world::read_between(&self.options.folder.file("metrics.jsonl"), from, to)
    }

    /// Stores an entry. A run whose cache cannot be written to goes on without it.
    fn keep(&mut self, key: &Key, saved: &Saved) -> Result<()> {
        match saved.put(&self.store, STEP_ENTRIES, key) {
            Ok(()) => Ok(()),
            Err(why) => {
                let problem = Diagnostic::warning(Code::Io, format!("`{}` cannot be kept in the cache", key.what));
                let problem = why.notes().iter().fold(problem.note(why.message()), Diagnostic::note);
                self.sink.event(&Event::Warning(
                    problem.help("the run goes on; `runtime: {cache: {limit: 0}}` turns the cache off"),
                ))
            }
        }
    }
}

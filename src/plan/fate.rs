//! What will become of each step: served from the store, run, or not needed.

use super::{Keys, Plan, Step};
use crate::diag::Result;
use crate::world::Store;
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use std::collections::BTreeMap;

/// How much a run takes from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Whatever is there.
    All,
    /// Features of frozen prefixes only.
    Features,
    /// Nothing; what is made is stored all the same.
    Nothing,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It takes no time worth storing.
    Always,
    /// It is served from the store.
    Cached,
    /// It runs.
    Run,
    /// It is over, or what needs it is served.
    Idle,
}

impl Plan {
    /// What becomes of every step, once the first `trained` phases are over.
    pub fn fates(&self, store: &Store, keys: &Keys, reuse: Reuse, trained: usize) -> BTreeMap<NodeIndex, Fate> {
        let mut fates = BTreeMap::new();
        for node in self.order().into_iter().rev() {
            let step = &self.dag[node];
            let stored = step.entries().zip(keys.get(node)).is_some_and(|(kind, key)| store.has(kind, key));
            let runs = |next: NodeIndex| fates.get(&next) == Some(&Fate::Run);
            let fate = match step {
                Step::Model | Step::Index { .. } | Step::Split | Step::Report => Fate::Always,
                Step::Train { phase } if *phase < trained => Fate::Idle,
                Step::Features { .. } if !self.dag.neighbors_directed(node, Direction::Outgoing).any(runs) => {
                    Fate::Idle
                }
                Step::Features { .. } if stored && reuse != Reuse::Nothing => Fate::Cached,
                Step::Train { .. } | Step::Evaluate { .. } | Step::Export if stored && reuse == Reuse::All => {
                    Fate::Cached
                }
                _ => Fate::Run,
            };
            fates.insert(node, fate);
        }
        fates
    }

    /// Why a step that is not in the store is not: the parts that differ from the entry of the same step that was used last; nothing
    /// when there is no such entry.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn changes(&self, store: &Store, keys: &Keys) -> Result<BTreeMap<NodeIndex, Vec<String>>> {
        let entries = store.list()?;
        let mut changes = BTreeMap::new();
        for node in self.dag.node_indices() {
            let Some(key) = keys.get(node) else { continue };
            let like = |entry: &&crate::world::Stored| entry.key.what == key.what && entry.key.of == key.of;
            if let Some(entry) = entries.iter().find(like) {
                changes.insert(node, key.differences(&entry.key));
            }
        }
        Ok(changes)
    }
}

//! Walks the plan: sessions, data loader, optimizer, checkpoints.

pub mod data;

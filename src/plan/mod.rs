//! The DAG of steps.

//! Gradient rules, one per operator.

//! Reverse-mode differentiation over the graph.

//! Surgery on the source model, new layers, freezing, losses.

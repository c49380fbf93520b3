//! What an operator reads as a weight, by operator and input.

/// When a constant input counts as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// In any case.
    Always,
    /// When it has more than one element or a name that somebody gave it, and is not a literal of the source's code.
    Several,
    /// Only when somebody gave it a name: literals look the same.
    Named,
    /// As [`Demand::Several`]; and where nobody gave a name, its elements must differ: exporters write GroupNorm with a scale of ones.
    Affine,
    /// It is a statistic, not a parameter.
    Buffer,
}

/// The last part of the parameter's name and the condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) part: &'static str,
    pub(super) demand: Demand,
}

use Demand::{Affine, Always, Buffer, Named, Several};

#[rustfmt::skip]
const ROLES: &[(&str, usize, &str, Demand)] = &[
    ("Conv",                   1, "weight", Always),
    ("Conv",                   2, "bias",   Always),
    ("ConvTranspose",          1, "weight", Always),
    ("ConvTranspose",          2, "bias",   Always),
    ("DeformConv",             1, "weight", Always),
    ("DeformConv",             3, "bias",   Always),
    ("Gemm",                   0, "weight", Always),
    ("Gemm",                   1, "weight", Always),
    ("Gemm",                   2, "bias",   Always),
    ("MatMul",                 0, "weight", Several),
    ("MatMul",                 1, "weight", Always),
    ("Einsum",                 0, "weight", Several),
    ("Einsum",                 1, "weight", Several),
    ("BatchNormalization",     1, "weight", Always),
    ("BatchNormalization",     2, "bias",   Always),
    ("BatchNormalization",     3, "running_mean", Buffer),
    ("BatchNormalization",     4, "running_var",  Buffer),
    ("LayerNormalization",     1, "weight", Always),
    ("LayerNormalization",     2, "bias",   Always),
    ("InstanceNormalization",  1, "weight", Affine),
    ("InstanceNormalization",  2, "bias",   Affine),
    ("GroupNormalization",     1, "weight", Always),
    ("GroupNormalization",     2, "bias",   Always),
    ("PRelu",                  1, "weight", Always),
    ("LSTM",                   1, "weight_ih", Always),
    ("LSTM",                   2, "weight_hh", Always),
    ("LSTM",                   3, "bias",   Always),
    ("LSTM",                   7, "weight_peephole", Always),
    ("GRU",                    1, "weight_ih", Always),
    ("GRU",                    2, "weight_hh", Always),
    ("GRU",                    3, "bias",   Always),
    ("RNN",                    1, "weight_ih", Always),
    ("RNN",                    2, "weight_hh", Always),
    ("RNN",                    3, "bias",   Always),
    ("Gather",                 0, "weight", Several),
    ("Add",                    0, "bias",   Several),
    ("Add",                    1, "bias",   Several),
    ("Sub",                    0, "bias",   Several),
    ("Sub",                    1, "bias",   Several),
    ("Mul",                    0, "weight", Several),
    ("Mul",                    1, "weight", Several),
    ("Div",                    0, "weight", Several),
    ("Div",                    1, "weight", Several),
    ("Sum",                    0, "bias",   Several),
    ("Sum",                    1, "bias",   Several),
    ("Expand",                 0, "weight", Named),
    ("Concat",                 0, "weight", Named),
    ("Concat",                 1, "weight", Named),
    ("Tile",                   0, "weight", Named),
    ("Slice",                  0, "weight", Named),
    ("Where",                  1, "weight", Named),
    ("Where",                  2, "weight", Named),
    ("com.microsoft::FusedConv", 1, "weight", Always),
    ("com.microsoft::FusedConv", 2, "bias",   Always),
    ("com.microsoft::FusedGemm", 1, "weight", Always),
    ("com.microsoft::FusedGemm", 2, "bias",   Always),
    ("com.microsoft::FusedMatMul", 1, "weight", Always),
    ("com.microsoft::Attention", 1, "weight", Always),
    ("com.microsoft::Attention", 2, "bias",   Several),
    ("com.microsoft::BiasGelu",  1, "bias",   Always),
    ("com.microsoft::FastGelu",  1, "bias",   Always),
    ("com.microsoft::SkipLayerNormalization", 2, "weight", Always),
    ("com.microsoft::SkipLayerNormalization", 3, "bias",   Always),
    ("com.microsoft::SkipLayerNormalization", 4, "skip_bias", Always),
    ("com.microsoft::SkipSimplifiedLayerNormalization", 2, "weight", Always),
    ("com.microsoft::SkipSimplifiedLayerNormalization", 3, "skip_bias", Always),
    ("com.microsoft::EmbedLayerNormalization", 2, "word_embedding", Always),
    ("com.microsoft::EmbedLayerNormalization", 3, "position_embedding", Always),
    ("com.microsoft::EmbedLayerNormalization", 4, "segment_embedding", Always),
    ("com.microsoft::EmbedLayerNormalization", 5, "weight", Always),
    ("com.microsoft::EmbedLayerNormalization", 6, "bias",   Always),
    ("com.microsoft::MultiHeadAttention", 3, "bias", Always),
    ("com.microsoft::TransposeMatMul", 1, "weight", Always),
    ("SimplifiedLayerNormalization", 1, "weight", Always),
];

/// Operators that hand a weight on in another form.
pub(super) const FORMS: &[&str] =
    &["Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Cast", "CastLike"];

/// The role of input `index` of an operator, if it is one.
pub(super) fn role(title: &str, index: usize) -> Option<Role> {
    let row = ROLES.iter().find(|row| row.0 == title && row.1 == index)?;
    Some(Role { part: row.2, demand: row.3 })
}

//! Convolution in one, two or three dimensions, by the rank of its input, as `torch.nn.Conv1d`, `Conv2d` and `Conv3d`.
//!
//! [N, C, size…] becomes [N, channels, size…]; the weight is [channels, C/groups, kernel…]. Weight and bias start uniform in
//! ±1/√(C/groups·∏kernel). `padding: same` keeps the size at stride 1; where the amount is odd, the larger half comes after.
//!
//! ```yaml
//! stack: [conv: {channels: 32, kernel: 3, padding: same}, relu]
//! ```

use super::linear::yes;
use super::window::{Extent, Window};
use super::{Layer, NewParam, Start, count, refuse, spatial};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Convolution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Conv {
    /// Number of output channels.
    #[schemars(range(min = 1, max = 16777216))]
    channels: usize,
    /// Size of the window, one number or one for each spatial dimension.
    kernel: Extent,
    /// Distance between two windows.
    #[serde(default = "one")]
    stride: Extent,
    /// Zeros on each side, or `same`.
    #[serde(default)]
    padding: Padding,
    /// Distance between two elements of a window.
    #[serde(default = "one")]
    dilation: Extent,
    /// Number of parts that channels are split into; each output sees one of them.
    #[serde(default = "single")]
    #[schemars(range(min = 1, max = 16777216))]
    groups: usize,
    /// Whether a learnt constant is added to each channel.
    #[serde(default = "yes")]
    bias: bool,
}

/// Zeros around the input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Padding {
    /// As many as keep the size.
    Word(PaddingWord),
    /// This many on each side.
    Size(Extent),
}

/// A padding that depends on the window.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum PaddingWord {
    /// Output and input have one size; needs stride 1.
    Same,
}

impl Default for Padding {
    fn default() -> Self {
        Padding::Size(Extent::All(0))
    }
}

// Schemas show defaults as they would be written.
impl serde::Serialize for Padding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Padding::Word(PaddingWord::Same) => serializer.serialize_str("same"),
            Padding::Size(size) => size.serialize(serializer),
        }
    }
}

fn one() -> Extent {
    Extent::All(1)
}

fn single() -> usize {
    1
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    let conv: Conv = decode(config)?;
    count("channels", conv.channels)?;
    count("groups", conv.groups)?;
    if !conv.channels.is_multiple_of(conv.groups) {
        let text = format!("`channels` ({}) must be a multiple of `groups` ({})", conv.channels, conv.groups);
        return Err(Diagnostic::error(Code::OutOfRange, text).at("channels", "").at("groups", ""));
    }
    Ok(Box::new(conv))
}

impl Conv {
    fn window(&self, input: &[usize]) -> Result<Window> {
        let rank = spatial("conv", input)?;
        let kernel = self.kernel.expand("kernel", rank, 1)?;
        let stride = self.stride.expand("stride", rank, 1)?;
        let dilation = self.dilation.expand("dilation", rank, 1)?;
        let (before, after) = match &self.padding {
            Padding::Size(size) => {
                let sizes = size.expand("padding", rank, 0)?;
                (sizes.clone(), sizes)
            }
            Padding::Word(PaddingWord::Same) => {
                if stride.iter().any(|size| *size != 1) {
                    return Err(Diagnostic::error(Code::Conflict, "`padding: same` needs `stride: 1`")
                        .help("write the padding as a number, such as half the kernel"));
                }
                let totals: Vec<usize> = kernel.iter().zip(&dilation).map(|(k, d)| d * (k - 1)).collect();
                (totals.iter().map(|t| t / 2).collect(), totals.iter().map(|t| t - t / 2).collect())
            }
        };
        Ok(Window { kernel, stride, dilation, before, after })
    }
}

impl Layer for Conv {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let window = self.window(input)?;
        if input[1] == 0 || !input[1].is_multiple_of(self.groups) {
            let needs = format!("channels in a multiple of `groups` ({})", self.groups);
            return Err(refuse("conv", &needs, input));
        }
        let sizes = window.slide("conv", &input[2..])?;
        Ok([input[0], self.channels].into_iter().chain(sizes).collect())
    }

    fn params(&self, input: &[usize]) -> Result<Vec<NewParam>> {
        self.shape(input)?;
        let kernel = self.window(input)?.kernel;
        let part = input[1] / self.groups;
        let fan_in = kernel.iter().fold(part as f64, |product, size| product * *size as f64);
        let start = Start::Uniform { bound: (1.0 / fan_in.sqrt()) as f32 };
        let shape = [self.channels, part].into_iter().chain(kernel).collect();
        let mut params = vec![NewParam { name: "weight", shape, start, trainable: true }];
        if self.bias {
            params.push(NewParam { name: "bias", shape: vec![self.channels], start, trainable: true });
        }
        Ok(params)
    }

    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], params: &[ValueId]) -> Result<ValueId> {
        let mut attrs = self.window(input)?.attrs();
        attrs.push(("group", Attr::Int(self.groups as i64)));
        let inputs: Vec<ValueId> = [x].iter().chain(params).copied().collect();
        Ok(b.op_with("Conv", &inputs, &attrs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn sizes_follow_the_rank_of_the_input() {
        let conv = build(&json!({"channels": 8, "kernel": 3, "stride": 2, "padding": 1})).unwrap();
        for (input, output) in [
            (vec![1, 4, 9], vec![1, 8, 5]),
            (vec![1, 4, 224, 8], vec![1, 8, 112, 4]),
            (vec![1, 4, 5, 6, 7], vec![1, 8, 3, 3, 4]),
        ] {
            assert_eq!(ops(conv.as_ref(), &input), (output, vec!["Conv".to_owned()]));
        }
        let params = conv.params(&[1, 4, 9, 9]).unwrap();
        assert_eq!(params[0].shape, [8, 4, 3, 3]);
        assert_eq!(params[0].start, Start::Uniform { bound: 1.0 / 6.0 });
    }

    #[test]
    fn same_keeps_the_size_with_even_kernels_and_dilation() {
        for config in [
            json!({"channels": 2, "kernel": [4, 3], "padding": "same"}),
            json!({"channels": 2, "kernel": 4, "dilation": [1, 3], "padding": "same"}),
        ] {
            assert_eq!(build(&config).unwrap().shape(&[1, 3, 10, 11]).unwrap(), [1, 2, 10, 11]);
        }
        let strided = build(&json!({"channels": 2, "kernel": 3, "stride": 2, "padding": "same"})).unwrap();
        assert_eq!(strided.shape(&[1, 3, 8, 8]).err().map(|error| error.code()), Some(Code::Conflict));
    }

    #[test]
    fn groups_divide_both_sides() {
        let depthwise = build(&json!({"channels": 6, "kernel": 3, "groups": 3, "bias": false})).unwrap();
        assert_eq!(depthwise.params(&[1, 3, 8, 8]).unwrap()[0].shape, [6, 1, 3, 3]);
        refused(depthwise.as_ref(), &[1, 4, 8, 8], "[N, 4, 8, 8]");
        assert!(build(&json!({"channels": 7, "kernel": 3, "groups": 3})).is_err());
    }

    #[test]
    fn what_it_cannot_take_is_refused() {
        let conv = build(&json!({"channels": 2, "kernel": 5})).unwrap();
        refused(conv.as_ref(), &[1, 3, 4, 4], "window of 5");
        refused(conv.as_ref(), &[1, 3], "[N, 3]");
        refused(conv.as_ref(), &[1, 3, 9, 9, 9, 9], "[N, 3, 9, 9, 9, 9]");
        refused(build(&json!({"channels": 2, "kernel": [3, 3]})).unwrap().as_ref(), &[1, 3, 9], "`kernel` has 2 sizes");
        assert!(build(&json!({"channels": 2, "kernel": 0})).unwrap().shape(&[1, 3, 9]).is_err());
        assert!(build(&json!({"channels": 2, "kernel": u64::MAX})).unwrap().shape(&[1, 3, 9]).is_err());
        assert!(build(&json!({"channels": 2, "kernel": 3, "padding": "valid"})).is_err());
    }
}

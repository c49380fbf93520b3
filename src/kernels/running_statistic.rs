//! RunningStatistic: the next value of a running mean or variance, keep·old + (1 − keep)·f·new; f is n/(n − 1) with `unbiased`, else 1.
//!
//! Inputs: old and new f32 [C], the latter a statistic of the batch, and the x [N, C, …] that it is of, whose shape alone is read: n are
//! the elements of a channel. Output [C]. Attributes: `keep`, `unbiased`. One value a channel has no unbiased variance; torch refuses such a
//! batch, here the biased one (0) is kept.

use super::cuda::{Argument, BLOCK, Launch, Work};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "RunningStatistic",
    inputs: &[DType::F32; 3],
    kernel: |attributes| {
        let keep = attributes.float("keep").ok_or("it has no `keep`")?;
        Ok(Box::new(RunningStatistic { keep, unbiased: attributes.int("unbiased") == Some(1) }))
    },
    in_place: false,
    cuda: Some(Halves { inputs: &[2], output: false }),
    reference: Some(reference),
};

struct RunningStatistic {
    keep: f32,
    unbiased: bool,
}

impl RunningStatistic {
    /// Factors of the old and of the new value.
    fn factors(&self, x: &[usize]) -> [f32; 2] {
        let channels = x.get(1).copied().unwrap_or(1).max(1);
        let n = (x.iter().product::<usize>() / channels) as f64;
        let unbiased = if self.unbiased { n / (n - 1.0).max(1.0) } else { 1.0 };
        [self.keep, ((1.0 - f64::from(self.keep)) * unbiased) as f32]
    }
}

impl Kernel for RunningStatistic {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [old, new, [_, channels, ..]] if old == new && *old == [*channels] => Ok(old.to_vec()),
            _ => Err(format!("old and new [C] and x [N, C, …], not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], _: Parallel) -> Result<(), String> {
        let [Arg::F32(old, _), Arg::F32(new, _), x] = inputs else { return Err("it takes f32".to_owned()) };
        let [keep, take] = self.factors(x.shape());
        output.iter_mut().zip(*old).zip(*new).for_each(|((next, old), new)| *next = keep * old + take * new);
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let channels = self.shape(inputs)?[0];
        let [keep, take] = self.factors(inputs[2]).map(Argument::Float);
        let arguments = vec![
            Argument::Input(0),
            Argument::Input(1),
            Argument::Output(0),
            Argument::Int(i32::try_from(channels).map_err(|error| error.to_string())?),
            keep,
            take,
        ];
        let source = include_str!("cuda/running_statistic.cu");
        let blocks = channels.div_ceil(BLOCK as usize);
        Ok(Work::Launches(vec![Launch::new(source, "running_statistic", blocks, arguments)], 0))
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [old, new, x] = [0, 1, 2].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let dtype = b.graph.dtype(old).unwrap_or(DType::F32);
    let keep = node.float("keep", 0.9);
    let shape = b.graph.shape(x).unwrap_or_default();
    let [keep, take] = RunningStatistic { keep, unbiased: node.int("unbiased", 0) == 1 }.factors(&shape);
    let [keep, take] = [keep, take].map(|factor| b.scalar(dtype, f64::from(factor)));
    let (old, new) = (b.mul(old, keep), b.mul(new, take));
    b.add(old, new)
}

//! Stochastic gradient descent with momentum, as torch does it: b ← m·b + (1 − d)·g (b = g at the first step), w ← w − lr·b, or
//! w ← w − lr·(g + m·b) with Nesterov. Weight decay is decoupled: w ← w·(1 − lr·wd) first.
//!
//! Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

use super::{Optimizer, Step};
use crate::diag::{Code, Diagnostic};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "Stochastic gradient descent: w ← w − lr·b with b ← momentum·b + (1 − dampening)·g.\n\n\
With `nesterov` the step is lr·(g + momentum·b). `weight_decay` is decoupled: w is first multiplied by 1 − lr·weight_decay.\n\n\
Source: Sutskever et al., ICML 2013.\n\n\
    optimizer: {sgd: {lr: 0.001, momentum: 0.9}}";

pub(super) const ROW: Row<dyn Optimizer> = Row {
    kind: Kind::of::<Sgd>("sgd", Some("lr"), DOC),
    build: |value| {
        let config: Sgd = decode(value)?;
        if config.nesterov && (config.momentum <= 0.0 || config.dampening != 0.0) {
            return Err(Diagnostic::error(Code::Conflict, "`nesterov` needs a momentum and no dampening")
                .help("set `momentum`, such as 0.9, and leave `dampening` out"));
        }
        Ok(Box::new(config))
    },
};

/// Configuration of `sgd`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sgd {
    /// Learning rate.
    #[schemars(range(min = 0.0))]
    lr: f64,
    /// Share of the last step that is taken again.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    momentum: f64,
    /// Share of the gradient that does not enter the momentum.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    dampening: f64,
    /// Whether the gradient is taken as if the momentum step had been made.
    #[serde(default)]
    nesterov: bool,
    /// Decoupled weight decay.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

impl Optimizer for Sgd {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn states(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["momentum"] } else { &[] }
    }

    fn update(&self, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]) {
        let (lr, scale) = (step.lr as f32, step.scale as f32);
        let decay = (1.0 - step.lr * step.weight_decay) as f32;
        let [buffer] = states else {
            for (w, g) in param.iter_mut().zip(grad) {
                *w = *w * decay - lr * (g * scale);
            }
            return;
        };
        let momentum = self.momentum as f32;
        let taken = if step.count == 0 { 1.0 } else { (1.0 - self.dampening) as f32 };
        for ((w, g), b) in param.iter_mut().zip(grad).zip(buffer.iter_mut()) {
            let g = g * scale;
            *b = momentum * *b + taken * g;
            let direction = if self.nesterov { g + momentum * *b } else { *b };
            *w = *w * decay - lr * direction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: &str, grads: &[f32]) -> f32 {
        let rule: Sgd = serde_json::from_str(config).unwrap();
        let (mut w, mut b) = ([1.0f32], [0.0f32]);
        for (count, g) in grads.iter().enumerate() {
            let step = Step { lr: rule.lr, weight_decay: rule.weight_decay, count: count as u64, scale: 1.0 };
            if rule.states().is_empty() {
                rule.update(step, &mut w, &[*g], &mut []);
            } else {
                rule.update(step, &mut w, &[*g], &mut [&mut b]);
            }
        }
        w[0]
    }

    #[test]
    fn closed_forms() {
        assert!((run(r#"{"lr":0.1}"#, &[1.0, 2.0]) - 0.7).abs() < 1e-6);
        // b: 1, then 0.9 + 2 = 2.9
        assert!((run(r#"{"lr":0.1,"momentum":0.9}"#, &[1.0, 2.0]) - (1.0 - 0.1 - 0.29)).abs() < 1e-6);
        // 1 + 0.9·1 = 1.9, then 2 + 0.9·2.9 = 4.61
        assert!((run(r#"{"lr":0.1,"momentum":0.9,"nesterov":true}"#, &[1.0, 2.0]) - (1.0 - 0.19 - 0.461)).abs() < 1e-6);
        // The first step takes the whole gradient, the second half of it: 1, then 0.9 + 1 = 1.9
        assert!((run(r#"{"lr":0.1,"momentum":0.9,"dampening":0.5}"#, &[1.0, 2.0]) - (1.0 - 0.1 - 0.19)).abs() < 1e-6);
        // 1·(1 − 0.1·0.5) − 0.1
        assert!((run(r#"{"lr":0.1,"weight_decay":0.5}"#, &[1.0]) - 0.85).abs() < 1e-6);
    }
}

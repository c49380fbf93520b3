//! Structural checks that hold after every pass.

use super::{Graph, ValueId};
use crate::diag::{Code, Diagnostic, Result};

impl Graph {
    /// Checks that every value has one origin, that nodes come after what they read, and that outputs exist.
    ///
    /// # Errors
    /// `P0009` naming `pass`, since a pass that breaks the graph is a bug; readers map it to `P0302`.
    pub fn verify(&self, pass: &str) -> Result<()> {
        let wrong = |text: String| {
            Err(Diagnostic::error(Code::Internal, format!("graph is not valid after `{pass}`")).note(text))
        };
        let mut known = vec![false; self.value_count()];
        let mut define = |value: ValueId, what: &str| -> Option<String> {
            let slot = &mut known[value.0 as usize];
            if std::mem::replace(slot, true) {
                return Some(format!("`{}` is defined twice, the second time as {what}", self.name(value)));
            }
            None
        };
        for input in &self.inputs {
            if let Some(text) = define(*input, "an input") {
                return wrong(text);
            }
        }
        for initializer in self.initializers.keys() {
            if let Some(text) = define(*initializer, "an initializer") {
                return wrong(text);
            }
        }
        for node in &self.nodes {
            for input in self.reads(node) {
                if !known[input.0 as usize] {
                    let name = self.name(input);
                    return wrong(format!("node `{}` ({}) reads `{name}` before it is made", node.name, node.title()));
                }
            }
            for output in node.outputs.iter().flatten() {
                if std::mem::replace(&mut known[output.0 as usize], true) {
                    return wrong(format!(
                        "`{}` is made twice, the second time by `{}`",
                        self.name(*output),
                        node.name
                    ));
                }
            }
        }
        for output in &self.outputs {
            if !known[output.0 as usize] {
                return wrong(format!("output `{}` is not made by anything", self.name(*output)));
            }
        }
        Ok(())
    }
}

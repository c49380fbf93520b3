//! ONNX Runtime's session profile: one JSON list of Chrome trace events, an operator each (`cat` is `Node`), and one `model_run` at the end
//! of every run. Times are in microseconds.

use crate::diag::{Code, Diagnostic, Result};
use crate::world;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What ONNX Runtime appends to the name of a node.
const SUFFIX: &str = "_kernel_time";

/// The profile of a session.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    events: Vec<Map<String, Value>>,
}

/// One run of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeTime<'p> {
    /// Which run of the session, from 0.
    pub run: usize,
    /// Name of the node, which ONNX Runtime may have made up.
    pub node: &'p str,
    /// Its operator.
    pub op: &'p str,
    /// Microseconds.
    pub micros: u64,
}

impl Profile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::decode(&world::read(path)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let events = serde_json::from_slice(bytes).map_err(|error| {
            Diagnostic::error(Code::Internal, "ONNX Runtime's profile is not a list of events").note(error.to_string())
        })?;
        Ok(Self { events })
    }

    /// Every run of every operator, in the order of time.
    pub fn nodes(&self) -> Vec<NodeTime<'_>> {
        let mut run = 0;
        let mut found = Vec::new();
        for event in &self.events {
            if let Some((node, op)) = node_of(event) {
                found.push(NodeTime { run, node, op, micros: micros(event) });
            }
            run += usize::from(ends_run(event));
        }
        found
    }

    /// Microseconds of every run as a whole.
    pub fn runs(&self) -> Vec<u64> {
        self.events.iter().filter(|event| ends_run(event)).map(micros).collect()
    }

    /// The profile as a Chrome trace under the title `process`: operators carry the name of their node, `category` says which category
    /// the operators have, in the order of [`Profile::nodes`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_trace(&self, path: &Path, process: &str, category: &[&str]) -> Result<()> {
        let mut named = Vec::with_capacity(self.events.len() + 1);
        let pid = self.events.first().and_then(|event| event.get("pid")).cloned().unwrap_or_default();
        named.push(json!({"name": "process_name", "ph": "M", "pid": pid, "args": {"name": process}}));
        let mut categories = category.iter();
        for event in &self.events {
            let mut event = event.clone();
            if let Some((node, op)) = node_of(&event) {
                let name = format!("{op} {node}");
                event.insert("name".to_owned(), Value::String(name));
                let category = categories.next().copied().unwrap_or("Node");
                event.insert("cat".to_owned(), Value::String(category.to_owned()));
            } else if ends_run(&event) {
                event.insert("name".to_owned(), Value::String("step".to_owned()));
            }
            named.push(Value::Object(event));
        }
        let text = serde_json::to_vec(&json!({ "traceEvents": named, "displayTimeUnit": "ms" }))
            .map_err(|error| Diagnostic::error(Code::Internal, "cannot encode a trace").note(error.to_string()))?;
        world::write_atomic(path, |out| out.write_all(&text))
    }
}

fn text<'p>(event: &'p Map<String, Value>, key: &str) -> &'p str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Node and operator of an event that is a run of one.
fn node_of(event: &Map<String, Value>) -> Option<(&str, &str)> {
    let name = text(event, "name").strip_suffix(SUFFIX).filter(|_| text(event, "cat") == "Node")?;
    Some((name, event.get("args").and_then(|args| args.get("op_name")).and_then(Value::as_str).unwrap_or("?")))
}

fn ends_run(event: &Map<String, Value>) -> bool {
    text(event, "name") == "model_run"
}

fn micros(event: &Map<String, Value>) -> u64 {
    event.get("dur").and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType, Graph, Tensor, TensorType};
    use crate::native::{Options, Session};

    #[test]
    fn runs_and_operators_of_a_session_are_found_and_named_in_the_trace() {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), crate::ir::OPSET);
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[4]));
        let y = Builder::new(&mut graph, "net").op("Softplus", &[x]);
        graph.outputs.push(y);
        let folder = world::scratch_folder().unwrap();
        let profile = Some(folder.path().join("p"));
        let mut session = Session::build(&graph, &Options { threads: 1, profile, ..Options::default() }).unwrap();
        for _ in 0..3 {
            session.call(&[("x", Tensor::vector(&[0.0f32; 4]))]).unwrap();
        }
        let found = session.end_profile().unwrap();
        assert_eq!(found.runs().len(), 3);
        let nodes: Vec<_> = found.nodes().iter().map(|time| (time.run, time.node.to_owned(), time.op)).collect();
        assert_eq!(nodes, [0, 1, 2].map(|run| (run, "net/Softplus".to_owned(), "Softplus")));
        // The session still runs.
        session.call(&[("x", Tensor::vector(&[0.0f32; 4]))]).unwrap();
        let trace = folder.path().join("trace.json");
        found.write_trace(&trace, "a test", &["forward", "backward", "forward"]).unwrap();
        let read: Value = serde_json::from_str(&world::read_to_string(&trace).unwrap()).unwrap();
        let events = read["traceEvents"].as_array().unwrap();
        assert_eq!(events[0]["args"]["name"], "a test");
        let ops: Vec<_> = events.iter().filter(|event| event["name"] == "Softplus net/Softplus").collect();
        assert_eq!(
            ops.iter().map(|op| op["cat"].as_str().unwrap()).collect::<Vec<_>>(),
            ["forward", "backward", "forward"]
        );
        assert_eq!(events.iter().filter(|event| event["name"] == "step").count(), 3);
    }

    #[test]
    fn what_is_no_list_of_events_is_refused() {
        assert_eq!(Profile::decode(b"{}").unwrap_err().code(), Code::Internal);
    }
}

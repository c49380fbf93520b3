//! A probe in a process of its own, with a limit of memory and one of time.
//!
//! The process is the program itself, called as `pipe __probe`. It reads one line of JSON with the choices of sizes for symbolic
//! dimensions and after it the model, and writes one JSON object: the outputs for each choice, or what was wrong. Its answer is trusted
//! as little as the model is.

use super::Sizes;
use crate::diag::{self, Code, Diagnostic, Result};
use crate::ir::DType;
use crate::world::env::{self, Variable};
use crate::world::process::{self, Ended};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The process that probes what nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    /// The program; it answers its arguments `__probe --memory BYTES --seconds SECONDS` with [`answer`].
    pub program: PathBuf,
    /// Bytes of memory that it may take; [`PROBE_MEMORY`] is where users set it.
    pub memory: u64,
    /// How long it may take; [`PROBE_SECONDS`] is where users set it.
    pub time: Duration,
}

/// The variable with the limit of memory, such as `8GiB`. Whoever runs a model decides, not the spec that may have come with it.
pub const PROBE_MEMORY: &Variable = &env::PIPE_PROBE_MEMORY;

/// The variable with the limit of time in seconds.
pub const PROBE_SECONDS: &Variable = &env::PIPE_PROBE_SECONDS;

static REGISTERED: OnceLock<Confined> = OnceLock::new();

/// Lets [`super::probe_untrusted`] work in a process of its own from now on; the first call holds. A program that does not call
/// this, as one that uses the library need not, probes inside itself.
pub fn confine_probes(confined: Confined) {
    let _ = REGISTERED.set(confined);
}

pub(super) fn registered() -> Option<&'static Confined> {
    REGISTERED.get()
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    choices: Vec<Sizes>,
}

/// Names, and ONNX's number of the element type with the dimensions.
type Outputs = Vec<(String, Option<(i32, Vec<i64>)>)>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Outputs(Vec<Outputs>),
    Refused { code: String, message: String, notes: Vec<String>, help: Option<String> },
}

impl Confined {
    /// Names and types of the outputs of an encoded model for each choice.
    pub(super) fn ask(&self, model: &[u8], choices: &[Sizes]) -> Result<Vec<super::Outputs>> {
        let request = Request { choices: choices.to_vec() };
        let mut input = serde_json::to_vec(&request).map_err(|error| garbled(&error.to_string()))?;
        input.push(b'\n');
        input.extend_from_slice(model);
        let arguments = [
            "__probe".to_owned(),
            "--memory".to_owned(),
            self.memory.to_string(),
            "--seconds".to_owned(),
            // The parent's clock decides; this one is for a child that has lost its parent.
            (self.time.as_secs() + 2).to_string(),
        ];
        // Its start-up is a third of the time.
        let environment = [("ORT_DISABLE_TELEMETRY", "1")];
        match process::exchange(&self.program, &arguments, &environment, &input, self.time)? {
            Ended::InTime { success: true, output, .. } => self.read(&output, choices.len()),
            Ended::InTime { status, .. } => Err(self.died(&status)),
            Ended::TimedOut => Err(self.too_slow()),
        }
    }

    fn read(&self, output: &[u8], choices: usize) -> Result<Vec<super::Outputs>> {
        match serde_json::from_slice(output).map_err(|error| garbled(&error.to_string()))? {
            Answer::Outputs(all) if all.len() == choices => Ok(all.into_iter().map(typed).collect()),
            Answer::Outputs(all) => Err(garbled(&format!("{} answers to {choices} questions", all.len()))),
            Answer::Refused { code, message, notes, help } => {
                let code = diag::ALL.iter().find(|info| info.id == code).map_or(Code::ProbeLimit, |info| info.code);
                if code == Code::OutOfMemory {
                    return Err(self.too_large());
                }
                let refused = notes.into_iter().fold(Diagnostic::error(code, message), Diagnostic::note);
                Err(match help {
                    Some(help) => refused.help(help),
                    None => refused,
                })
            }
        }
    }

    /// Refuses a graph that would compute more bytes of constants than a process may take.
    pub(super) fn admit(&self, constants: u64) -> Result<()> {
        if constants <= self.memory {
            return Ok(());
        }
        let (all, limit) = (diag::bytes(constants), diag::bytes(self.memory));
        let text = format!("what is constant in the model takes {all}, more than {limit} of memory");
        Err(Diagnostic::error(Code::ProbeLimit, text).note(WHY).help(self.raise()))
    }

    fn raise(&self) -> String {
        let more = self.memory.saturating_mul(4).div_ceil(1 << 30);
        format!("if the model is meant to be that large, raise the limit, such as `{PROBE_MEMORY}={more}GiB`")
    }

    fn too_large(&self) -> Diagnostic {
        let limit = diag::bytes(self.memory);
        Diagnostic::error(Code::ProbeLimit, format!("loading the model takes more than {limit} of memory"))
            .note(WHY)
            .help(self.raise())
    }

    fn too_slow(&self) -> Diagnostic {
        let limit = self.time.as_secs();
        Diagnostic::error(Code::ProbeLimit, format!("loading the model takes longer than {limit} s")).note(WHY).help(
            format!(
                "if the model is meant to be that large, raise the limit, such as `{PROBE_SECONDS}={}`",
                10 * limit
            ),
        )
    }

    fn died(&self, how: &str) -> Diagnostic {
        let limit = diag::bytes(self.memory);
        Diagnostic::error(Code::ProbeLimit, "the process that loaded the model died")
            .note(how.to_owned())
            .note(format!("ONNX Runtime crashed on the model, or it takes more than {limit} of memory"))
            .help(self.raise())
    }
}

const WHY: &str = "ONNX Runtime computes what is constant in a model while it loads it";

fn garbled(why: &str) -> Diagnostic {
    Diagnostic::error(Code::ProbeLimit, "the process that loaded the model gave no answer that can be read")
        .note(why.to_owned())
        .help("do not use the model unless you know where it comes from")
}

fn typed(outputs: Outputs) -> super::Outputs {
    let ty = |ty: Option<(i32, Vec<i64>)>| ty.and_then(|(number, shape)| Some((DType::from_onnx(number)?, shape)));
    outputs.into_iter().map(|(name, found)| (name, ty(found))).collect()
}

/// What the process itself does: reads a request, probes, and makes the answer that it is to write.
pub fn answer(input: &[u8]) -> String {
    let answer = match probed(input) {
        Ok(outputs) => Answer::Outputs(outputs),
        Err(problem) => Answer::Refused {
            code: problem.code().id().to_owned(),
            message: problem.message().to_owned(),
            notes: problem.notes().to_vec(),
            help: problem.help_text().map(str::to_owned),
        },
    };
    // Names and numbers can always be written.
    serde_json::to_string(&answer).unwrap_or_default()
}

fn probed(input: &[u8]) -> Result<Vec<Outputs>> {
    let split = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (head, model) = input.split_at(split);
    let request: Request = serde_json::from_slice(head).map_err(|error| {
        Diagnostic::error(Code::Usage, "`pipe __probe` reads a request on standard input").note(error.to_string())
    })?;
    let model = model.get(1..).unwrap_or_default();
    let number =
        |(name, ty): (String, Option<(DType, Vec<i64>)>)| (name, ty.map(|(dtype, shape)| (dtype as i32, shape)));
    let numbered = |found: super::Outputs| found.into_iter().map(number).collect();
    request.choices.iter().map(|sizes| super::outputs(model, sizes).map(numbered)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Dim, Graph, OPSET, TensorType, onnx};

    fn confined() -> Confined {
        Confined { program: PathBuf::from("no-such-program"), memory: 4 << 30, time: Duration::from_mins(1) }
    }

    #[test]
    fn what_is_answered_is_read() {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let dims = vec![Dim::Symbol("a \"name\"\n".to_owned()), Dim::Known(3)];
        let x = graph.add_input("x", TensorType { dtype: DType::F32, dims });
        let y = Builder::new(&mut graph, "t").relu(x);
        graph.outputs.push(y);
        let choices: Vec<Sizes> = [5, 6].map(|size| vec![("a \"name\"\n".to_owned(), size)]).to_vec();
        let mut input = serde_json::to_vec(&Request { choices }).unwrap();
        input.push(b'\n');
        input.extend(onnx::encode(&graph));
        let found = confined().read(answer(&input).as_bytes(), 2).unwrap();
        let name = graph.name(y).to_owned();
        assert_eq!(found, [5, 6].map(|size| vec![(name.clone(), Some((DType::F32, vec![size, 3])))]));
        assert_eq!(confined().read(answer(&input).as_bytes(), 1).unwrap_err().code(), Code::ProbeLimit);
    }

    #[test]
    fn refusals_keep_their_code() {
        let error = confined().read(answer(b"{\"choices\": [[]]}\nthis is no model").as_bytes(), 1).unwrap_err();
        assert_eq!((error.code(), error.notes().len()), (Code::ProbeFailed, 1), "{error:?}");
        assert_eq!(confined().read(answer(b"").as_bytes(), 1).unwrap_err().code(), Code::Usage);
    }

    #[test]
    fn answers_that_are_none_are_diagnostics() {
        let read = |text: &[u8]| confined().read(text, 1).unwrap_err();
        assert_eq!(read(b"").code(), Code::ProbeLimit);
        assert_eq!(read(b"{\"outputs\": [[1]]}").code(), Code::ProbeLimit);
        let memory = br#"{"refused": {"code": "P0606", "message": "m", "notes": [], "help": null}}"#;
        assert!(read(memory).message().contains("4.0 GiB"), "{:?}", read(memory));
    }

    #[test]
    #[cfg(unix)]
    fn a_process_that_does_not_answer_is_a_diagnostic() {
        assert_eq!(confined().ask(b"", &[]).unwrap_err().code(), Code::Io);
        let died = Confined { program: PathBuf::from("false"), ..confined() }.ask(b"", &[]).unwrap_err();
        assert_eq!((died.code(), died.notes()[0].as_str()), (Code::ProbeLimit, "exit status: 1"));
    }
}

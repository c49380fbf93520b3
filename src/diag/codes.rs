//! The table of diagnostic codes. A code is never reused; its first digit after `P0` names the room. Each has a page in `pages/`: what
//! happened, an example that brings it about, what to write instead.

use std::fmt;

/// Title and page of a code, shown by `pipe explain`.
#[derive(Debug)]
pub struct CodeInfo {
    /// The code itself.
    pub code: Code,
    /// Such as `P0204`.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What happened, an example, and what to write instead.
    pub page: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $title:literal,)*) => {
        /// A stable diagnostic code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }
        /// Every code, in order.
        pub const ALL: &[CodeInfo] = &[
            $(CodeInfo {
                code: Code::$name,
                id: $id,
                title: $title,
                page: include_str!(concat!("pages/", $id, ".md")),
            },)*
        ];
        impl Code {
            /// Such as `P0204`.
            pub fn id(self) -> &'static str {
                match self { $(Code::$name => $id,)* }
            }
        }
    };
}

codes! {
    // P00: the command line and the machine
    Usage            "P0001" "the command line is wrong",
    Io               "P0002" "a file could not be read or written",
    RuntimeMissing   "P0003" "ONNX Runtime was not found",
    RuntimeWrong     "P0004" "the ONNX Runtime library cannot be used",
    SetupFailed      "P0005" "ONNX Runtime could not be installed",
    Interrupted      "P0006" "the run was stopped at a step boundary",
    LfsPointer       "P0007" "a git-lfs pointer in place of a file",
    Internal         "P0009" "a bug in pipe",
    CudaMissing      "P0010" "libraries for CUDA are missing",
    NoGpu            "P0011" "there is no GPU that can be used",
    OnProcessor      "P0012" "an operator that the GPU does not run",
    // P01: YAML
    YamlSyntax       "P0101" "the text is not YAML",
    YamlTag          "P0102" "a YAML tag where a quoted string was meant",
    YamlAlias        "P0103" "an alias without its anchor",
    YamlDuplicateKey "P0104" "a key stands twice in one map",
    YamlLimit        "P0105" "the YAML is too deep or too large",
    // P02: the shape of a spec
    MissingKey       "P0201" "a required key is missing",
    WrongType        "P0202" "a value has the wrong type",
    OutOfRange       "P0203" "a value is out of range",
    UnknownKey       "P0204" "an unknown key",
    UnknownKind      "P0205" "an unknown kind",
    UnknownVariable  "P0206" "a variable that `vars` does not define",
    UnusedVariable   "P0207" "a variable that nothing uses",
    Conflict         "P0208" "two keys that cannot stand together",
    UnknownName      "P0209" "a name that the spec does not define",
    WrongVersion     "P0210" "a language version that this pipe does not read",
    DuplicateName    "P0211" "one name for two things",
    Cycle            "P0212" "things that depend on each other in a circle",
    NotSupported     "P0213" "part of the language that this version does not run",
    BaseMissing      "P0214" "a base of a spec that cannot be read",
    // P03: the model
    ModelRead        "P0301" "the model file cannot be read",
    ModelInvalid     "P0302" "the model's graph is not valid",
    OpsetRange       "P0303" "an opset outside the range that is read",
    PatternEmpty     "P0304" "a pattern that matches nothing",
    NodeUnknown      "P0305" "a node, value or module that the model does not have",
    NodeAmbiguous    "P0306" "a name that means several things",
    ShapeMismatch    "P0307" "shapes that do not fit",
    BatchBaked       "P0308" "a batch size that cannot be freed",
    WeightNotFinite  "P0309" "a weight that is NaN or infinite",
    ExternalData     "P0310" "external data outside the model's folder or too short",
    FoldedBatchNorm  "P0311" "BatchNorm was folded into the weights",
    InputRole        "P0312" "a model input that no data feeds",
    PatternVoid      "P0313" "a rule that another one makes void",
    // P04: differentiation
    NoGradient       "P0401" "an op without a gradient rule",
    NotReached       "P0402" "a parameter that the loss cannot reach",
    NothingTrainable "P0403" "nothing is left to train",
    NotFloat         "P0404" "a path to the loss that is not floating point",
    // P05: data
    DataMissing      "P0501" "a data file or folder that does not exist",
    DataCorrupt      "P0502" "a data file that cannot be decoded",
    DataEmpty        "P0503" "a dataset without samples",
    LabelRange       "P0504" "a label that the loss cannot use",
    DataShape        "P0505" "samples that do not have the model's input shape",
    DataColumn       "P0506" "a column that the table does not have",
    // P06: the run
    NotFinite        "P0601" "the loss or a gradient is NaN or infinite",
    RunFailed        "P0602" "ONNX Runtime failed",
    CheckpointBad    "P0603" "a checkpoint that cannot be used",
    ResumeChanged    "P0604" "the spec changed since the checkpoint",
    RunExists        "P0605" "a run folder that is in use",
    OutOfMemory      "P0606" "not enough memory",
    ExportMismatch   "P0607" "the exported model does not give the trained model's numbers",
    ProbeFailed      "P0608" "the model could not be probed",
    ProbeLimit       "P0609" "loading the model went over its limits",
    LockMissing      "P0620" "a spec without a lock",
    LockBad          "P0621" "a lock that cannot be read",
    LockChanged      "P0622" "what is not as the lock says",
}

impl Code {
    /// The row of this code.
    pub fn info(self) -> &'static CodeInfo {
        ALL.iter().find(|info| info.code == self).unwrap_or(&ALL[0])
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sorted() {
        for pair in ALL.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} before {}", pair[0].id, pair[1].id);
        }
    }
}

//! Diagnostics: everything that `pipe` has to say about bad input goes through [`Diagnostic`].
//!
//! A diagnostic has a stable code (see [`Code`]), one sentence, labels that point into a text, and help that says
//! what to write instead. It is built anywhere and rendered only by the command line (or by a test).

mod codes;
mod excerpt;
mod render;
mod size;
mod suggest;

pub use codes::{ALL, Code, CodeInfo};
pub use render::render;
pub use size::bytes;
pub use suggest::{either, nearest};

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text that spans point into, usually the spec file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Name shown in the header of a snippet, as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Name of the texts that `--set` gives.
pub const COMMAND_LINE: &str = "command line";

impl Source {
    /// Whether the text stands in a file, and not on the command line.
    pub fn is_file(&self) -> bool {
        self.name != COMMAND_LINE
    }
}

/// Errors stop the command, warnings travel along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The command cannot go on.
    Error,
    /// The command goes on; the user should know.
    Warning,
}

/// A place with a short text under its caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// Byte range in a known text.
    Span {
        /// The text that the range points into.
        source: Arc<Source>,
        /// Byte range.
        range: Range<usize>,
        /// Text under the caret, may be empty.
        text: String,
    },
    /// A JSON pointer into the spec; [`Diagnostic::locate`] turns it into a span.
    Pointer {
        /// Pointer such as `/optimizer/sgd/lr`.
        pointer: String,
        /// Points at the key instead of the value.
        key: bool,
        /// Text under the caret, may be empty.
        text: String,
    },
}

/// One thing that is wrong, with all that is needed to show it.
#[derive(Clone)]
pub struct Diagnostic(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    severity: Severity,
    message: String,
    labels: Vec<Label>,
    help: Option<String>,
    notes: Vec<String>,
}

/// The result of everything that can fail on bad input.
pub type Result<T> = std::result::Result<T, Diagnostic>;

impl Diagnostic {
    /// An error with a code and one lowercase sentence without a full stop.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            notes: Vec::new(),
        }))
    }

    /// A warning with a code and one lowercase sentence without a full stop.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        let mut this = Self::error(code, message);
        this.0.severity = Severity::Warning;
        this
    }

    /// Adds what to do about it. Later calls replace earlier ones.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds a cause or a fact, shown below the message.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Points at a byte range of a text.
    #[must_use]
    pub fn span(mut self, source: &Arc<Source>, range: Range<usize>, text: impl Into<String>) -> Self {
        self.0.labels.push(Label::Span { source: Arc::clone(source), range, text: text.into() });
        self
    }

    /// Points at the value under a JSON pointer of the spec.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        self.0.labels.push(Label::Pointer { pointer: pointer.into(), key: false, text: text.into() });
        self
    }

    /// Points at the key under a JSON pointer of the spec.
    #[must_use]
    pub fn at_key(mut self, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        self.0.labels.push(Label::Pointer { pointer: pointer.into(), key: true, text: text.into() });
        self
    }

    /// Places what a part of a spec says of itself: a pointer without a slash in front starts at the part, and an error without labels is
    /// about the whole part.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if self.0.labels.is_empty() {
            return self.at(part, "");
        }
        for label in &mut self.0.labels {
            if let Label::Pointer { pointer, .. } = label
                && !pointer.starts_with('/')
            {
                *pointer = format!("{part}/{pointer}");
            }
        }
        self
    }

    /// Replaces every pointer label by the span that `lookup` knows for it; unknown ones become notes.
    #[must_use]
    pub fn locate(mut self, lookup: impl Fn(&str, bool) -> Option<(Arc<Source>, Range<usize>)>) -> Self {
        let labels = std::mem::take(&mut self.0.labels);
        for label in labels {
            match label {
                Label::Pointer { pointer, key, text } => match lookup(&pointer, key) {
                    Some((source, range)) => self.0.labels.push(Label::Span { source, range, text }),
                    None if text.is_empty() => self.0.notes.push(format!("at `{pointer}`")),
                    None => self.0.notes.push(format!("at `{pointer}`: {text}")),
                },
                span @ Label::Span { .. } => self.0.labels.push(span),
            }
        }
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// The one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Labels in the order they were added.
    pub fn labels(&self) -> &[Label] {
        &self.0.labels
    }

    /// What to do about it.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Causes and facts.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code, self.0.message)
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(std::slice::from_ref(self), false))
    }
}

impl std::error::Error for Diagnostic {}

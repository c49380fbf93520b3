//! Renders diagnostics through miette's graphical handler: a snippet for each text that labels point into.

use super::excerpt::excerpt;
use super::{Diagnostic, Label, Severity, Source};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::fmt::{self, Write};
use std::ops::Range;

/// All diagnostics as one text, in order, coloured for a terminal or plain.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false).with_context_lines(1);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let report = Report::of(diagnostic);
        let mut shown = String::new();
        if handler.render_report(&mut shown, &report).is_err() {
            shown = format!("× {}\n", diagnostic.message());
        }
        // The code stands before the sentence, not on a line of its own.
        let _ = writeln!(out, "{} {}", diagnostic.code(), shown.trim_start());
    }
    // miette pads with trailing blanks; goldens and editors dislike them.
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

struct Report<'a> {
    diagnostic: &'a Diagnostic,
    /// The text that the first label points into, and then the others.
    snippets: Vec<Snippet>,
    message: String,
}

/// A text with the labels into it.
#[derive(Debug)]
struct Snippet {
    source: NamedSource<String>,
    labels: Vec<LabeledSpan>,
}

impl Snippet {
    fn of(diagnostic: &Diagnostic, shown: &Source) -> Self {
        let labels = diagnostic.labels().iter().filter_map(|label| match label {
            Label::Span { source, range, text } if source.as_ref() == shown => Some((text.as_str(), range.clone())),
            Label::Span { .. } | Label::Pointer { .. } => None,
        });
        let (texts, ranges): (Vec<&str>, Vec<Range<usize>>) = labels.unzip();
        let (text, ranges) = excerpt(&shown.text, &ranges).unwrap_or_else(|| (shown.text.clone(), ranges));
        // The first label is what is wrong, wherever it stands: the head of the snippet gives its line.
        let label = |(index, (text, range)): (usize, (&str, Range<usize>))| {
            let text = (!text.is_empty()).then(|| text.to_owned());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, (range.start, range.len()))
            } else {
                LabeledSpan::new(text, range.start, range.len())
            }
        };
        let labels = texts.into_iter().zip(ranges).enumerate().map(label).collect();
        Self { source: NamedSource::new(&shown.name, text), labels }
    }
}

impl<'a> Report<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let mut message = diagnostic.message().to_owned();
        for note in diagnostic.notes() {
            message.push_str("\n  ");
            message.push_str(&note.replace('\n', "\n  "));
        }
        let mut sources: Vec<&Source> = Vec::new();
        for label in diagnostic.labels() {
            if let Label::Span { source, .. } = label
                && !sources.contains(&source.as_ref())
            {
                sources.push(source);
            }
        }
        let snippets = sources.into_iter().map(|source| Snippet::of(diagnostic, source)).collect();
        Self { diagnostic, snippets, message }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "and in `{}`", self.source.name())
    }
}

impl std::error::Error for Snippet {}

impl miette::Diagnostic for Snippet {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help_text().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippets.first().and_then(Snippet::source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.snippets.first().and_then(Snippet::labels)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.snippets.iter().skip(1).map(|snippet| snippet as &dyn miette::Diagnostic)))
    }
}

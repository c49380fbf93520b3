//! Renders diagnostics through miette's graphical handler.

use super::excerpt::excerpt;
use super::{Diagnostic, Label, Severity};
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
    source: Option<NamedSource<String>>,
    /// Labels into that source.
    spans: Vec<(&'a str, Range<usize>)>,
    message: String,
}

impl<'a> Report<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let mut message = diagnostic.message().to_owned();
        for note in diagnostic.notes() {
            message.push_str("\n  ");
            message.push_str(&note.replace('\n', "\n  "));
        }
        let shown = diagnostic.labels().iter().find_map(|label| match label {
            Label::Span { source, .. } => Some(source),
            Label::Pointer { .. } => None,
        });
        let Some(shown) = shown else { return Self { diagnostic, source: None, spans: Vec::new(), message } };
        // A snippet is of one text: labels into another one are left out.
        let labels = diagnostic.labels().iter().filter_map(|label| match label {
            Label::Span { source, range, text } if source.name == shown.name => Some((text.as_str(), range.clone())),
            Label::Span { .. } | Label::Pointer { .. } => None,
        });
        let (texts, ranges): (Vec<&str>, Vec<Range<usize>>) = labels.unzip();
        let (text, ranges) = excerpt(&shown.text, &ranges).unwrap_or_else(|| (shown.text.clone(), ranges));
        let spans = texts.into_iter().zip(ranges).collect();
        Self { diagnostic, source: Some(NamedSource::new(&shown.name, text)), spans, message }
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
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let spans = self.spans.iter().map(|(text, range)| {
            let text = (!text.is_empty()).then(|| (*text).to_owned());
            LabeledSpan::new(text, range.start, range.len())
        });
        Some(Box::new(spans))
    }
}

//! `pipe explain`

use super::{Failure, Outcome, say};
use crate::diag::{self, Code, CodeInfo, Diagnostic};
use crate::spec::{self, Topic};
use std::fmt::Write;
use std::process::ExitCode;

/// Explains a diagnostic code, a section of the spec, a key, a kind, a family of kinds, or how specs are read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Such as `P0204`, `schedule`, `schedule.epochs`, `sgd`, `transform` or `patterns`; nothing lists what there is.
    topic: Option<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Some(topic) = &args.topic else {
        say(&contents());
        return Ok(ExitCode::SUCCESS);
    };
    let code = diag::ALL.iter().find(|info| info.id.eq_ignore_ascii_case(topic));
    let pages = spec::topics(topic);
    if code.is_none() && pages.is_empty() {
        return Err(Failure::spec(vec![unknown(topic)]));
    }
    if let Some(info) = code {
        say(&code_page(info));
    }
    let pages: Vec<String> = pages.iter().map(Topic::page).collect();
    say(&pages.join("\n"));
    Ok(ExitCode::SUCCESS)
}

fn unknown(topic: &str) -> Diagnostic {
    let names = spec::topic_names();
    let candidates = names.iter().map(String::as_str).chain(diag::ALL.iter().map(|info| info.id));
    let error = Diagnostic::error(Code::Usage, format!("nothing is called `{topic}`"));
    match diag::nearest(topic, candidates).first() {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help("`pipe explain` lists what there is"),
    }
}

fn code_page(info: &CodeInfo) -> String {
    format!("{}: {}\n\n{}", info.id, info.title, info.page)
}

/// Everything that has a page.
fn contents() -> String {
    let mut out = String::from("codes\n");
    for info in diag::ALL {
        let _ = writeln!(out, "  {}  {}", info.id, info.title);
    }
    out.push_str(&spec::contents());
    out
}

//! The commands and their switches, as the command line itself describes them.

use super::super::Cli;
use clap::{Arg, CommandFactory};

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// Such as `pipe cache ls`.
    pub(super) name: String,
    /// How it is called.
    pub(super) usage: String,
    /// What it does.
    pub(super) about: String,
    /// Switch or argument, and what it means.
    pub(super) arguments: Vec<(String, String)>,
}

impl Command {
    /// Its anchor.
    pub(super) fn id(&self) -> String {
        self.name.replace(' ', "-")
    }
}

/// All that are shown by `pipe --help`, and the commands of commands.
pub(super) fn all() -> Vec<Command> {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    visit(&root, "pipe", &mut found);
    found
}

fn visit(command: &clap::Command, name: &str, found: &mut Vec<Command>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        if sub.has_subcommands() {
            visit(sub, &name, found);
        } else {
            found.push(describe(sub, name));
        }
    }
}

fn describe(command: &clap::Command, name: String) -> Command {
    let usage = command.clone().render_usage().to_string();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let shown = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()));
    let arguments = shown.map(|arg| (called(arg), meaning(arg))).collect();
    Command { name, usage: usage.trim_start_matches("Usage: ").trim().to_owned(), about: sentence(&about), arguments }
}

/// Such as `-o, --out <FOLDER>`.
fn called(arg: &Arg) -> String {
    let values: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|value| format!("<{value}>")).collect();
    let takes = arg.get_action().takes_values();
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let switch: Vec<String> = short.into_iter().chain(long).collect();
    match (switch.is_empty(), takes) {
        (true, _) => values.join(" "),
        (false, true) => format!("{} {}", switch.join(", "), values.join(" ")),
        (false, false) => switch.join(", "),
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    text = sentence(&text);
    let words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !words.is_empty() {
        text = format!("{text} One of {}.", words.join(", "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        text = format!("{text} Default: `{}`.", defaults.join(" "));
    }
    text.trim().replace('\n', " ")
}

/// clap takes the full stop of a last sentence away.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', ':']) { text.to_owned() } else { format!("{text}.") }
}

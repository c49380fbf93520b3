//! `pipe cache`

use super::run::CACHE;
use super::{Outcome, say};
use crate::diag::{Code, Diagnostic, bytes};
use crate::plan::CACHE_LIMIT;
use crate::spec::scalars;
use crate::world::{self, Store, Stored};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Shows or clears what runs keep: features of frozen prefixes, and what steps made.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists the entries, those used last first.
    Ls {
        /// A spec, or the folder of specs.
        #[arg(value_name = "SPEC_OR_FOLDER", default_value = ".")]
        of: PathBuf,
        /// Prints one JSON object an entry.
        #[arg(long)]
        json: bool,
    },
    /// Removes what is torn, and the entries that were used longest ago until the others fit a limit.
    Gc {
        /// A spec, or the folder of specs.
        #[arg(value_name = "SPEC_OR_FOLDER", default_value = ".")]
        of: PathBuf,
        /// Bytes that may stay, such as `5 GiB`; 10 GiB without it.
        #[arg(long, value_name = "BYTES", conflicts_with = "all")]
        limit: Option<String>,
        /// Removes every entry.
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::Ls { of, json } => list(&store(of)?, *json),
        Action::Gc { of, limit, all } => {
            let limit = match limit {
                _ if *all => 0,
                None => CACHE_LIMIT,
                Some(text) => scalars::bytes(text).ok_or_else(|| {
                    Diagnostic::error(Code::Usage, format!("`{text}` is no number of bytes"))
                        .help("write it as `500 MB`, `5 GiB` or a bare number")
                })?,
            };
            let done = store(of)?.collect(limit)?;
            say(&format!("removed {} entries, {}; {} stay\n", done.entries, bytes(done.bytes), bytes(done.left)));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The cache beside a spec, or in a folder.
fn store(of: &Path) -> Result<Store, Diagnostic> {
    if !world::exists(of) {
        return Err(Diagnostic::error(Code::Io, format!("there is no `{}`", of.display()))
            .help("give a spec or the folder that it lies in; its cache is `.pipe/cache` there"));
    }
    let folder = if world::is_folder(of) { of } else { of.parent().unwrap_or(Path::new("")) };
    Ok(Store::at(folder.join(CACHE)))
}

fn list(store: &Store, json: bool) -> Outcome {
    let entries = store.list()?;
    let mut lines: Vec<String> =
        entries.iter().map(|entry| if json { as_json(entry) } else { as_line(entry) }).collect();
    if !json {
        let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        lines.push(format!("{} entries, {} in {}", entries.len(), bytes(total), store.root().display()));
    }
    say(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    Ok(ExitCode::SUCCESS)
}

fn seconds_ago(entry: &Stored) -> u64 {
    entry.used.elapsed().map_or(0, |age| age.as_secs())
}

fn as_json(entry: &Stored) -> String {
    json!({
        "kind": entry.kind,
        "key": entry.digest,
        "what": entry.key.what,
        "of": entry.key.of,
        "bytes": entry.bytes,
        "used_seconds_ago": seconds_ago(entry),
        "parts": entry.key.parts,
    })
    .to_string()
}

fn as_line(entry: &Stored) -> String {
    let (size, age) = (bytes(entry.bytes), ago(seconds_ago(entry)));
    format!("{}  {size:>10}  {age:>8}  {}: {}", &entry.digest[..12], entry.key.of, entry.key.what)
}

/// A span of time in its largest unit.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

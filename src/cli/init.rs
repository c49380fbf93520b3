//! `pipe init`

use super::{Failure, Outcome, complain, say};
use crate::diag::{Code, Diagnostic, either, nearest};
use crate::plan::{self, Given, Plan};
use crate::spec;
use crate::world;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Specs to begin with, by name.
const TEMPLATES: &[(&str, &str)] = &[
    ("frozen-head", include_str!("../../pipelines/templates/frozen-head.yaml")),
    ("from-scratch", include_str!("../../pipelines/templates/from-scratch.yaml")),
    ("sweep", include_str!("../../pipelines/templates/sweep.yaml")),
    ("tabular", include_str!("../../pipelines/templates/tabular.yaml")),
    ("unfreezing", include_str!("../../pipelines/templates/unfreezing.yaml")),
];

/// Writes a first spec: from a model, from data, from both, or from a template.
///
/// What it writes has been checked: the text always, against model and data where they are given.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File to write; `-` is standard output.
    #[arg(value_name = "SPEC", default_value = "spec.yaml")]
    out: PathBuf,
    /// A source model (ONNX), which gets a new last layer and stays frozen.
    #[arg(long, value_name = "ONNX", conflicts_with = "template")]
    model: Option<PathBuf>,
    /// Data: a folder of pictures per class (or of sets of them), of MNIST or CIFAR-10, a table, a NumPy archive.
    #[arg(long, value_name = "PATH", conflicts_with = "template")]
    data: Option<PathBuf>,
    /// A template; `--list` lists them.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Name of the spec; without it that of the template, else of the file.
    #[arg(long)]
    name: Option<String>,
    /// Writes over a file that is there.
    #[arg(long)]
    force: bool,
    /// Lists the templates.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.list {
        say(&listed());
        return Ok(ExitCode::SUCCESS);
    }
    let wrong = |problem| Failure::spec(vec![problem]);
    let printed = args.out == Path::new("-");
    if !printed && !args.force && world::exists(&args.out) {
        let error = Diagnostic::error(Code::Usage, format!("`{}` is there already", args.out.display()));
        return Err(wrong(error.help("name another file, or write over it with `--force`")));
    }
    let folder = if printed { PathBuf::from(".") } else { plan::folder(&args.out) };
    let text = match (&args.template, &args.model, &args.data) {
        (Some(wanted), _, _) => {
            let text = template(wanted).map_err(wrong)?;
            if args.name.is_some() { plan::named(text, &name(args)) } else { text.to_owned() }
        }
        (None, None, None) => {
            let error = Diagnostic::error(Code::Usage, "nothing to begin with");
            return Err(wrong(
                error.help("give `--model`, `--data`, both, or `--template`; `--list` lists the templates"),
            ));
        }
        (None, model, data) => {
            let given = Given { name: name(args), folder: folder.clone(), model: model.clone(), data: data.clone() };
            plan::draft(&given).map_err(Failure::spec)?
        }
    };
    // Paths such as `../data` need the folder that they start from.
    world::create_dir_all(&folder)?;
    let warnings = check(args, &text, &folder)?;
    complain(&warnings);
    if printed {
        say(&text);
    } else {
        world::write_atomic(&args.out, |out| out.write_all(text.as_bytes()))?;
        say(&format!("wrote {}\n", args.out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn listed() -> String {
    TEMPLATES.iter().fold(String::new(), |mut out, (name, text)| {
        let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        let _ = writeln!(out, "{name:<14}{about}");
        out
    })
}

fn template(wanted: &str) -> Result<&'static str, Diagnostic> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let error = Diagnostic::error(Code::Usage, format!("there is no template `{wanted}`"));
        let names: Vec<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        match nearest(wanted, names.iter().copied()).as_slice() {
            [] => error.help(format!("there are {}", names.join(", "))),
            near => error.help(format!("did you mean {}?", either(near))),
        }
    })
}

/// The name that was asked for, else that of the file, else that of the data or the model, in characters that a name may have.
fn name(args: &Args) -> String {
    let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let file = stem(&args.out).filter(|stem| stem != "spec" && stem != "-");
    let given = || args.data.as_ref().or(args.model.as_ref()).and_then(stem);
    let name = args.name.clone().or(file).or_else(given).unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect();
    if name.is_empty() { "experiment".to_owned() } else { name }
}

/// Whether the text is a spec that its model and its data fit; gives what is odd about it.
fn check(args: &Args, text: &str, folder: &Path) -> Result<Vec<Diagnostic>, Failure> {
    let parsed = spec::parse(text, &args.out.display().to_string(), &[]);
    let Some(spec) = parsed.spec.as_ref().filter(|_| args.model.is_some() || args.data.is_some()) else {
        return if parsed.spec.is_some() { Ok(parsed.diagnostics) } else { Err(Failure::spec(parsed.diagnostics)) };
    };
    super::probe::confine()?;
    let made = if args.data.is_some() { Plan::build(spec, folder) } else { Plan::check(spec, folder) };
    match made {
        Ok(plan) => {
            // That there is no data yet is why the spec is written.
            let absent = |found: &Diagnostic| found.code() == Code::DataMissing && args.data.is_none();
            let said = plan.warnings.into_iter().filter(|found| !absent(found)).collect();
            Ok(parsed.diagnostics.iter().cloned().chain(parsed.locate_all(said)).collect())
        }
        Err(problems) => {
            let note = "this is about the spec that would have been written";
            let problems = parsed.locate_all(problems).into_iter().map(|problem| problem.note(note));
            Err(Failure::spec(problems.collect()))
        }
    }
}

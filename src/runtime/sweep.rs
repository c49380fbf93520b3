//! Runs the trials of a sweep, several at once where that is faster, and ranks them.
//!
//! Every trial is a run in a folder of its own, `trials/<number>/`; what trials have in common, above all the features of a frozen prefix, is
//! made once, since their steps have the same keys. A sweep that is resumed goes on with each trial where that one stands. With successive
//! halving all trials run for some epochs, the best of them for a multiple of that, and so on.

use super::checkpoint;
use super::event::{Event, Scores, Sink};
use super::execute::{RunOptions, Summary, execute};
use super::folder::RunFolder;
use super::together::{Job, together};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::Chosen;
use crate::plan::Plan;
use crate::spec::{Spec, Sweep, Trial};
use crate::world;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Opens the sink of a trial; bytes of metrics that a checkpoint vouches for when it is resumed.
pub type SinkFor<'s> = &'s (dyn Fn(&RunFolder, Option<u64>) -> Result<Box<dyn Sink>> + Sync);

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It ran to its end.
    Finished,
    /// Others were better before its end.
    Stopped,
    /// It could not be run.
    Failed,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialRow {
    /// From 1.
    pub trial: usize,
    /// What was tried: path and value.
    pub values: BTreeMap<String, String>,
    /// Such as `lr=0.01 seed=1`.
    pub name: String,
    /// How it ended.
    pub state: TrialState,
    /// What it is ranked by; none when it failed.
    pub score: Option<f64>,
    /// Epochs after which the score was measured, when it was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a sweep found: the run of the best trial, and the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepSummary {
    /// Steps, scores and files of the best trial.
    #[serde(flatten)]
    pub best_run: Summary,
    /// `dataset.metric` that trials are ranked by.
    pub metric: String,
    /// Number of the best trial.
    pub best: usize,
    /// All trials, the best first.
    pub trials: Vec<TrialRow>,
}

/// Where a trial stands.
#[derive(Debug, Clone)]
enum Standing {
    Finished(f64),
    Paused(f64, u64),
    Failed(String),
}

impl Standing {
    fn score(&self) -> f64 {
        match self {
            Self::Finished(score) | Self::Paused(score, _) => *score,
            Self::Failed(_) => f64::NAN,
        }
    }
}

struct Sweeping<'s> {
    trials: &'s [Trial],
    sweep: &'s Sweep,
    base: &'s Path,
    options: &'s RunOptions,
    sink_for: SinkFor<'s>,
    larger: bool,
}

/// Runs all trials of a spec. `options.folder` is that of the sweep; `told` hears of each trial's end.
///
/// # Errors
/// `P0602` when every trial failed; `P0006` when the sweep was stopped, to be resumed.
pub fn run_sweep(
    spec: &Spec,
    trials: &[Trial],
    base: &Path,
    options: &RunOptions,
    sink_for: SinkFor,
    told: &mut dyn Sink,
) -> Result<SweepSummary> {
    let Some(sweep) = &spec.sweep else {
        return Err(Diagnostic::error(Code::Internal, "a sweep without `sweep`"));
    };
    let larger = larger_is_better(spec, &sweep.metric)?;
    let sweeping = Sweeping { trials, sweep, base, options, sink_for, larger };
    let standings = sweeping.run(spec, told)?;
    sweeping.finish(&spec.name, &standings)
}

fn larger_is_better(spec: &Spec, score: &str) -> Result<bool> {
    let metrics = spec.evaluate.metrics.iter().map(Chosen::build).collect::<Result<Vec<_>>>()?;
    let wanted = score.split_once('.').map_or(score, |(_, metric)| metric);
    Ok(metrics.iter().any(|metric| metric.name() == wanted && metric.larger_is_better()))
}

impl Sweeping<'_> {
    fn run(&self, spec: &Spec, told: &mut dyn Sink) -> Result<Vec<Standing>> {
        let mut standings: Vec<Option<Standing>> = vec![None; self.trials.len()];
        let mut going: Vec<usize> = (0..self.trials.len()).collect();
        let mut budget = self.sweep.halving.map(|halving| halving.epochs);
        loop {
            let whole = epochs(spec);
            let until = budget.filter(|epochs| going.len() > 1 && whole.is_none_or(|whole| *epochs < whole));
            let found = self.round(&going, until, told)?;
            for (trial, standing) in going.iter().zip(found) {
                standings[*trial] = Some(standing);
            }
            let (Some(until), Some(halving)) = (until, self.sweep.halving) else { break };
            let score = |trial: &usize| standings[*trial].as_ref().map_or(f64::NAN, Standing::score);
            going.retain(|trial| !matches!(standings[*trial], Some(Standing::Failed(_))));
            going.sort_by(|a, b| self.rank(score(a), score(b)).then(a.cmp(b)));
            going.truncate(going.len().div_ceil(halving.factor));
            going.sort_unstable();
            budget = Some(until.saturating_mul(halving.factor as u64));
        }
        Ok(standings.into_iter().flatten().collect())
    }

    /// The better one first; what has no score comes last.
    fn rank(&self, a: f64, b: f64) -> std::cmp::Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) if self.larger => b.total_cmp(&a),
            (false, false) => a.total_cmp(&b),
            (a, b) => a.cmp(&b),
        }
    }

    /// Some trials up to an epoch, or to their ends.
    fn round(&self, trials: &[usize], until: Option<u64>, told: &mut dyn Sink) -> Result<Vec<Standing>> {
        let bytes = trials.first().map_or(0, |trial| self.bytes(*trial));
        let jobs = trials.iter().map(|trial| Job {
            what: format!("trial {}", trial + 1),
            work: 1,
            bytes,
            run: Box::new(move |threads, _: &dyn Fn() -> bool, sink: &mut dyn Sink| {
                let standing = self.trial(*trial, until, threads)?;
                let score = standing.score();
                let (done, of) = (*trial + 1, self.trials.len());
                let state = match &standing {
                    Standing::Finished(_) => String::new(),
                    Standing::Paused(_, epochs) => format!(" after {epochs} epochs"),
                    Standing::Failed(problem) => format!(" {problem}"),
                };
                let text = format!("{} {}{state}", self.sweep.metric, number(score));
                sink.event(&Event::Trial { trial: done, of, name: self.trials[*trial].name(), text })?;
                Ok(standing)
            }),
        });
        together(jobs.collect(), self.options.threads, super::execute::free_memory(), &self.options.stop, told)
    }

    /// What a trial takes in memory, from the plan of one; what cannot be planned takes nothing.
    fn bytes(&self, trial: usize) -> u64 {
        let plan = Plan::build(&self.trials[trial].spec, self.base).ok();
        plan.and_then(|plan| plan.memory().ok()).map_or(0, |memory| memory.total())
    }

    fn trial(&self, number: usize, until: Option<u64>, threads: usize) -> Result<Standing> {
        let path = self.options.folder.file("trials").join(format!("{:03}", number + 1));
        let folder = RunFolder::at(&path, world::is_folder(&path))?;
        let _held = folder.hold()?;
        if let Some(standing) = self.standing(&folder, until)? {
            return Ok(standing);
        }
        let trial = &self.trials[number];
        let failed =
            |problems: &[Diagnostic]| Standing::Failed(problems.first().map_or(String::new(), ToString::to_string));
        let plan = match Plan::build(&trial.spec, self.base) {
            Ok(plan) => plan,
            Err(problems) => return Ok(failed(&problems)),
        };
        let text = crate::spec::to_yaml(&plan.spec)?;
        world::write_atomic(&folder.file("spec.yaml"), |out| out.write_all(text.as_bytes()))?;
        let vouched = vouched(&folder)?;
        let mut sink = (self.sink_for)(&folder, (vouched > 0).then_some(vouched))?;
        let options = RunOptions {
            folder: folder.clone(),
            cache: self.options.cache.clone(),
            reuse: self.options.reuse,
            threads,
            resume: vouched > 0,
            profile: false,
            until,
            stop: std::sync::Arc::clone(&self.options.stop),
        };
        match execute(&plan, &options, sink.as_mut()) {
            Ok(summary) => Ok(Standing::Finished(self.score(&summary.scores))),
            Err(problems) if self.options.stop.load(Ordering::Relaxed) => {
                Err(problems.into_iter().next().unwrap_or_else(|| Diagnostic::error(Code::Interrupted, "stopped")))
            }
            Err(problems) => match self.standing(&folder, until)? {
                Some(standing) if problems[0].code() == Code::Interrupted => Ok(standing),
                _ => Ok(failed(&problems)),
            },
        }
    }

    fn score(&self, scores: &BTreeMap<String, Scores>) -> f64 {
        let (set, metric) = self.sweep.metric.split_once('.').unwrap_or_default();
        scores.get(set).and_then(|scores| scores.numbers.get(metric)).copied().unwrap_or(f64::NAN)
    }

    /// Where a trial stands by what its folder holds: at its end, or so far that nothing is left to do.
    fn standing(&self, folder: &RunFolder, until: Option<u64>) -> Result<Option<Standing>> {
        let (set, metric) = self.sweep.metric.split_once('.').unwrap_or_default();
        if folder.finished() {
            let summary: Value =
                serde_json::from_slice(&world::read(&folder.file("summary.json"))?).unwrap_or_default();
            let score = summary["scores"][set]["numbers"][metric].as_f64();
            return Ok(Some(Standing::Finished(score.unwrap_or(f64::NAN))));
        }
        let Some(until) = until else { return Ok(None) };
        let vouched = vouched(folder)?;
        if vouched == 0 {
            return Ok(None);
        }
        let lines = world::read_between(&folder.file("metrics.jsonl"), 0, vouched)?;
        let measured = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let measured = measured.filter(|line| line["event"] == "evaluated" && line["dataset"] == set);
        let at = measured.enumerate().find(|(epoch, _)| *epoch as u64 + 1 == until);
        let score = |line: &Value| line["scores"]["numbers"][metric].as_f64().unwrap_or(f64::NAN);
        Ok(at.map(|(_, line)| Standing::Paused(score(&line), until)))
    }

    /// The table; the files of the best trial become those of the sweep.
    fn finish(&self, name: &str, standings: &[Standing]) -> Result<SweepSummary> {
        let mut order: Vec<usize> = (0..standings.len()).collect();
        let ended = |trial: usize| u8::from(!matches!(standings[trial], Standing::Finished(_)));
        let far = |trial: usize| match standings[trial] {
            Standing::Paused(_, epochs) => std::cmp::Reverse(epochs),
            _ => std::cmp::Reverse(u64::MAX),
        };
        order.sort_by(|a, b| {
            let scores = self.rank(standings[*a].score(), standings[*b].score());
            ended(*a).cmp(&ended(*b)).then(far(*a).cmp(&far(*b))).then(scores).then(a.cmp(b))
        });
        let trials: Vec<TrialRow> = order.iter().map(|trial| self.row(*trial, &standings[*trial])).collect();
        let best = order.first().copied().filter(|best| matches!(standings[*best], Standing::Finished(_)));
        let Some(best) = best else {
            let problem = Diagnostic::error(Code::RunFailed, "every trial of the sweep failed");
            return Err(trials.iter().take(5).fold(problem, |problem, row| {
                problem.note(format!("trial {} ({}): {}", row.trial, row.name, row.problem.clone().unwrap_or_default()))
            }));
        };
        let from = self.options.folder.file("trials").join(format!("{:03}", best + 1));
        let text = world::read(&from.join("summary.json"))?;
        let mut best_run: Summary = serde_json::from_slice(&text).map_err(|error| {
            Diagnostic::error(Code::CheckpointBad, "the summary of the best trial cannot be read")
                .note(error.to_string())
        })?;
        name.clone_into(&mut best_run.name);
        for file in &best_run.files {
            let bytes = world::map(&from.join(file))?;
            world::write_atomic(&self.options.folder.file(file), |out| out.write_all(bytes.bytes()))?;
        }
        let summary = SweepSummary { best_run, metric: self.sweep.metric.clone(), best: best + 1, trials };
        let text = serde_json::to_vec_pretty(&summary)
            .map_err(|error| Diagnostic::error(Code::Internal, "cannot write the summary").note(error.to_string()))?;
        world::write_atomic(&self.options.folder.file("summary.json"), |out| {
            out.write_all(&text)?;
            out.write_all(b"\n")
        })?;
        Ok(summary)
    }

    fn row(&self, trial: usize, standing: &Standing) -> TrialRow {
        let (state, epochs, problem) = match standing {
            Standing::Finished(_) => (TrialState::Finished, None, None),
            Standing::Paused(_, epochs) => (TrialState::Stopped, Some(*epochs), None),
            Standing::Failed(problem) => (TrialState::Failed, None, Some(problem.clone())),
        };
        TrialRow {
            trial: trial + 1,
            values: self.trials[trial].values.iter().cloned().collect(),
            name: self.trials[trial].name(),
            state,
            score: Some(standing.score()).filter(|score| !score.is_nan()),
            epochs,
            problem,
        }
    }
}

/// Bytes of `metrics.jsonl` that the checkpoint of a trial vouches for, 0 without one.
fn vouched(folder: &RunFolder) -> Result<u64> {
    Ok(checkpoint::load(&folder.file("checkpoints"))?.map_or(0, |checkpoint| checkpoint.progress.metrics_bytes))
}

/// Epochs of a whole trial, when it counts them.
fn epochs(spec: &Spec) -> Option<u64> {
    let schedule = &spec.schedule;
    if schedule.phases.is_empty() { schedule.epochs } else { schedule.phases.iter().map(|phase| phase.epochs).sum() }
}

/// A score with four digits, or `-`.
pub fn number(score: f64) -> String {
    if score.is_nan() { "-".to_owned() } else { format!("{score:.4}") }
}

//! The table of a sweep: a row a trial, the best first.

use crate::runtime::{SweepSummary, TrialState, number};

/// Rank, trial, score, what was tried, and how it ended where that was not its end.
pub fn sweep_table(summary: &SweepSummary) -> String {
    let mut rows = vec![[String::new(), "trial".to_owned(), summary.metric.clone(), "values".to_owned()]];
    for (rank, row) in summary.trials.iter().enumerate() {
        let ended = match row.state {
            TrialState::Finished => String::new(),
            TrialState::Stopped => format!("  (stopped after {} epochs)", row.epochs.unwrap_or(0)),
            TrialState::Failed => format!("  (failed: {})", row.problem.clone().unwrap_or_default()),
        };
        let score = row.score.map_or_else(|| "-".to_owned(), number);
        rows.push([(rank + 1).to_string(), row.trial.to_string(), score, format!("{}{ended}", row.name)]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (rank, trial, score) = (width(0), width(1), width(2));
    rows.iter().map(|[a, b, c, d]| format!("{a:>rank$}  {b:>trial$}  {c:>score$}  {d}\n")).collect()
}

//! A profile as a table.

use crate::runtime::ProfileTable;
use std::fmt::Write;

/// Rows that are shorter than this part of a step share one line.
const SMALL: f64 = 0.002;

/// What is said of times on a GPU.
const WAITED: &str = "\nthe GPU was waited for after every kernel: times are those of kernels, a few microseconds of launching each included, \
                      and a step that is not profiled is faster";

/// Milliseconds of one step by operator, forward and backward apart, longest first.
pub fn profile(table: &ProfileTable) -> String {
    let width = table.rows.iter().map(|row| row.op.len()).max().unwrap_or(0).max("between operators".len());
    let mut out = String::new();
    let mut line = |op: &str, direction: &str, count: &str, milliseconds: f64, share: f64| {
        let _ = writeln!(out, "{op:<width$}  {direction:<9}{count:>8}{milliseconds:>12.3}{:>8.1} %", 100.0 * share);
    };
    for direction in ["forward", "backward"] {
        let rows: Vec<_> = table.rows.iter().filter(|row| row.direction == direction).collect();
        let sum = |of: fn(&crate::runtime::ProfileRow) -> f64| rows.iter().map(|row| of(row)).sum::<f64>();
        line("all", direction, &count(sum(|row| row.count)), sum(|row| row.milliseconds), sum(|row| row.share));
    }
    let between = table.between / table.milliseconds.max(f64::MIN_POSITIVE);
    line("between operators", "", "", table.between, between);
    line("step", "", "", table.milliseconds, 1.0);
    if let Some(optimizer) = table.optimizer {
        line("optimizer", "beside", "", optimizer, optimizer / table.milliseconds.max(f64::MIN_POSITIVE));
    }
    let mut rest = (0.0, 0.0, 0.0);
    for row in &table.rows {
        if row.share < SMALL {
            rest = (rest.0 + row.count, rest.1 + row.milliseconds, rest.2 + row.share);
        } else {
            line(&row.op, row.direction, &count(row.count), row.milliseconds, row.share);
        }
    }
    if rest.0 > 0.0 {
        line("shorter ones", "", &count(rest.0), rest.1, rest.2);
    }
    let steps = if table.steps == 1 { "1 step".to_owned() } else { format!("{} steps", table.steps) };
    let head = format!("{:<width$}  {:<9}{:>8}{:>12}{:>10}", "operator", "", "count", "ms a step", "share");
    let how = if table.optimizer.is_some() { WAITED } else { "" };
    format!("{head}   mean of {steps}\n{}{how}", out.trim_end())
}

/// A mean of counts; it is whole unless runs differ.
fn count(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ProfileRow;

    #[test]
    fn directions_are_summed_and_short_rows_share_a_line() {
        let row = |op: &str, direction, count, milliseconds, share| ProfileRow {
            op: op.to_owned(),
            direction,
            count,
            milliseconds,
            share,
        };
        let table = ProfileTable {
            steps: 2,
            milliseconds: 10.0,
            between: 1.0,
            optimizer: None,
            rows: vec![
                row("Conv", "backward", 2.0, 5.99, 0.599),
                row("Conv", "forward", 1.5, 3.0, 0.3),
                row("Relu", "forward", 1.0, 0.005, 0.0005),
                row("Mul", "backward", 1.0, 0.005, 0.0005),
            ],
        };
        let expect = "\
operator                       count   ms a step     share   mean of 2 steps
all                forward       2.5       3.005    30.0 %
all                backward        3       5.995    59.9 %
between operators                          1.000    10.0 %
step                                      10.000   100.0 %
Conv               backward        2       5.990    59.9 %
Conv               forward       1.5       3.000    30.0 %
shorter ones                       2       0.010     0.1 %";
        assert_eq!(profile(&table), expect);
        let on_gpu = profile(&ProfileTable { optimizer: Some(0.5), ..table });
        let line = "step                                      10.000   100.0 %\noptimizer          beside                  0.500     5.0 %\n";
        assert!(on_gpu.contains(line) && on_gpu.ends_with(WAITED), "{on_gpu}");
    }
}

//! Differences as a text for a terminal.

use super::{Differences, Fact, Score, SpecChange};
use std::fmt::Write;

/// A block a part, columns of one width in each.
pub fn text(found: &Differences) -> String {
    let mut out = format!("a  {} {}\nb  {} {}\n", found.a.kind, found.a.name, found.b.kind, found.b.name);
    if let Some(changes) = &found.spec {
        part(&mut out, "spec", &spec(changes));
    }
    for (title, facts) in [("data", &found.data), ("versions", &found.versions), ("machine", &found.machine)] {
        if let Some(facts) = facts {
            part(&mut out, title, &self::facts(facts));
        }
    }
    if let Some(scores) = found.metrics.as_ref().filter(|scores| !scores.is_empty()) {
        part(&mut out, "metrics", &metrics(scores));
    }
    if let Some([a, b]) = found.seconds.filter(|both| both.iter().any(Option::is_some)) {
        let seconds = |side: Option<f64>| side.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
        part(&mut out, "time", &[vec!["a".to_owned(), seconds(a)], vec!["b".to_owned(), seconds(b)]]);
    }
    out.push('\n');
    for note in &found.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.push_str(if found.same { "the same\n" } else { "different\n" });
    out
}

/// A title and rows in columns; a part without rows is the same on both sides.
fn part(out: &mut String, title: &str, rows: &[Vec<String>]) {
    let _ = writeln!(out, "\n{title}");
    if rows.is_empty() {
        out.push_str("  the same\n");
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| format!("{cell:<width$}", width = width(i).unwrap_or(0)));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(out, "  {}", line.trim_end());
    }
}

fn spec(changes: &[SpecChange]) -> Vec<Vec<String>> {
    let row = |change: &SpecChange| {
        let places: Vec<&str> = [&change.a_place, &change.b_place].into_iter().flatten().map(String::as_str).collect();
        vec![change.path.clone(), arrow(change.a.as_deref(), change.b.as_deref()), places.join(" → ")]
    };
    changes.iter().map(row).collect()
}

fn facts(facts: &[Fact]) -> Vec<Vec<String>> {
    facts.iter().map(|fact| vec![fact.name.clone(), arrow(fact.a.as_deref(), fact.b.as_deref())]).collect()
}

fn arrow(a: Option<&str>, b: Option<&str>) -> String {
    format!("{} → {}", a.unwrap_or("nothing"), b.unwrap_or("nothing"))
}

/// Numbers stand under each other, right-aligned.
fn metrics(scores: &[Score]) -> Vec<Vec<String>> {
    let titles = ["", "final a", "final b", "b - a", "best a", "best b"].map(str::to_owned);
    let row = |score: &Score| {
        let of = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let difference = match score.difference {
            Some(by) if by > 0.0 => format!("+{}", number(by)),
            by => of(by),
        };
        let (a, b) = (score.a, score.b);
        let [last_a, last_b] = [a, b].map(|side| of(side.map(|side| side.last)));
        let [best_a, best_b] = [a, b].map(|side| of(side.map(|side| side.best)));
        [score.name.clone(), last_a, last_b, difference, best_a, best_b]
    };
    let rows: Vec<[String; 6]> = std::iter::once(titles).chain(scores.iter().map(row)).collect();
    let widest = rows.iter().flat_map(|row| &row[1..]).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let right = |(i, cell): (usize, &String)| if i == 0 { cell.clone() } else { format!("{cell:>widest$}") };
    rows.iter().map(|row| row.iter().enumerate().map(right).collect()).collect()
}

/// Whole numbers as such, others with as many digits as tell them apart.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        format!("{value}")
    } else if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

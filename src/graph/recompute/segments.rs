//! Where connected nodes that are run again are cut, so that few values stay and little is made again at a time.

use crate::ir::{Graph, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Sizes of the largest segment that are tried, each a step of this ratio below the one before.
const RATIO: f64 = 0.8;
const SIZES: i32 = 24;

/// Nodes whose values are made again together.
pub(super) struct Segment {
    /// Forward nodes, in order.
    pub(super) nodes: Vec<usize>,
    /// Values of theirs that backward reads and that do not stay.
    pub(super) again: BTreeSet<ValueId>,
}

/// A stretch of connected nodes that hands exactly one value on to the next.
struct Piece {
    nodes: Vec<usize>,
    /// Bytes that backward reads of it, the value that is handed on left out.
    bytes: u64,
    /// That value, its bytes, and whether backward reads it. None for the last.
    end: Option<(ValueId, u64, bool)>,
}

/// Cuts `selected` forward nodes into segments, and says which values stay: those between them, and outputs of the graph. They are such that the bytes that stay between them and those of the largest are least, by a search
/// over the size of the largest. Source: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost", 2016.
pub(super) fn find(graph: &Graph, forward: usize, selected: &[bool]) -> (Vec<Segment>, BTreeSet<ValueId>) {
    let consumers = graph.consumers();
    let lines: Vec<Vec<Piece>> = connected(graph, selected, &consumers)
        .into_iter()
        .map(|nodes| pieces(graph, forward, selected, &consumers, nodes))
        .collect();
    let all: u64 = lines.iter().map(|line| size(line)).max().unwrap_or(0);
    let mut best: Option<(u64, Vec<Vec<usize>>)> = None;
    for step in 0..SIZES {
        let limit = (all as f64 * RATIO.powi(step)) as u64;
        let cuts: Vec<Vec<usize>> = lines.iter().map(|line| cuts(line, limit)).collect();
        let stays: u64 = lines.iter().zip(&cuts).map(|(line, cuts)| stays(line, cuts)).sum();
        let most = lines.iter().zip(&cuts).map(|(line, cuts)| largest(line, cuts)).max().unwrap_or(0);
        if best.as_ref().is_none_or(|(least, _)| stays + most < *least) {
            best = Some((stays + most, cuts));
        }
    }
    let cuts = best.map(|(_, cuts)| cuts).unwrap_or_default();
    let ends: BTreeSet<ValueId> = lines
        .iter()
        .zip(&cuts)
        .flat_map(|(line, cuts)| cuts.iter().filter_map(|at| line.get(at.checked_sub(1)?)?.end))
        .map(|(value, ..)| value)
        .collect();
    let kept: BTreeSet<ValueId> = ends.into_iter().chain(graph.outputs.iter().copied()).collect();
    let mut found = Vec::new();
    for (line, cuts) in lines.iter().zip(&cuts) {
        for (from, to) in spans(line, cuts) {
            let nodes: Vec<usize> = line[from..to].iter().flat_map(|piece| piece.nodes.iter().copied()).collect();
            let made = nodes.iter().flat_map(|index| graph.nodes[*index].outputs.iter().copied().flatten());
            let read = |value: &ValueId| is_read(&consumers, forward, *value);
            let again: BTreeSet<ValueId> = made.filter(|value| read(value) && !kept.contains(value)).collect();
            if !again.is_empty() {
                found.push(Segment { nodes, again });
            }
        }
    }
    (found, kept)
}

/// Whether backward reads a value.
fn is_read(consumers: &[Vec<usize>], forward: usize, value: ValueId) -> bool {
    consumers[value.0 as usize].iter().any(|reader| *reader >= forward)
}

/// Groups of selected nodes that values connect, each in the order of the graph.
fn connected(graph: &Graph, selected: &[bool], consumers: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..selected.len()).collect();
    fn root(group: &mut [usize], mut index: usize) -> usize {
        while group[index] != index {
            group[index] = group[group[index]];
            index = group[index];
        }
        index
    }
    for (index, _) in selected.iter().enumerate().filter(|(_, selected)| **selected) {
        let readers = graph.nodes[index].outputs.iter().flatten().flat_map(|output| &consumers[output.0 as usize]);
        for reader in readers.filter(|reader| selected.get(**reader) == Some(&true)) {
            let (a, b) = (root(&mut group, index), root(&mut group, *reader));
            group[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, _) in selected.iter().enumerate().filter(|(_, selected)| **selected) {
        groups.entry(root(&mut group, index)).or_default().push(index);
    }
    groups.into_values().collect()
}

/// Cuts a group wherever only one value is read further on.
fn pieces(graph: &Graph, forward: usize, selected: &[bool], consumers: &[Vec<usize>], group: Vec<usize>) -> Vec<Piece> {
    let inside = |reader: &usize| selected.get(*reader) == Some(&true);
    let read = |value: &ValueId| is_read(consumers, forward, *value);
    let mut found = Vec::new();
    let mut open: BTreeSet<ValueId> = BTreeSet::new();
    let mut piece = Piece { nodes: Vec::new(), bytes: 0, end: None };
    let mut made: Vec<ValueId> = Vec::new();
    for index in group {
        let node = &graph.nodes[index];
        open.retain(|value| consumers[value.0 as usize].iter().any(|reader| inside(reader) && *reader > index));
        let outputs = node.outputs.iter().flatten();
        made.extend(outputs.clone());
        open.extend(outputs.filter(|output| consumers[output.0 as usize].iter().any(inside)));
        piece.nodes.push(index);
        // What only leads out of the group ends nothing.
        if open.len() == 1
            && let Some(end) = open.first().copied().filter(|end| made.contains(end))
        {
            piece.bytes =
                made.iter().filter(|value| **value != end && read(value)).map(|value| bytes(graph, *value)).sum();
            piece.end = Some((end, bytes(graph, end), read(&end)));
            found.push(std::mem::replace(&mut piece, Piece { nodes: Vec::new(), bytes: 0, end: None }));
            made.clear();
        }
    }
    piece.bytes = made.iter().filter(|value| read(value)).map(|value| bytes(graph, *value)).sum();
    found.push(piece);
    found
}

/// Bytes of pieces that are made again together: the values between them as well.
fn size(pieces: &[Piece]) -> u64 {
    let between = pieces.split_last().map_or(&[] as &[Piece], |(_, rest)| rest);
    let ends: u64 = between.iter().filter_map(|piece| piece.end).filter(|end| end.2).map(|end| end.1).sum();
    ends + pieces.iter().map(|piece| piece.bytes).sum::<u64>()
}

/// Where to cut a line so that no segment is larger than `limit`, if its pieces are not, and the values between take least.
fn cuts(line: &[Piece], limit: u64) -> Vec<usize> {
    // Least bytes that stay when a segment ends behind so many pieces, and where the one before ends.
    let mut best: Vec<(u64, usize)> = vec![(0, 0)];
    for to in 1..=line.len() {
        let end = line[to - 1].end.filter(|_| to < line.len()).map_or(0, |end| end.1);
        let mut found = (best[to - 1].0, to - 1);
        let mut bytes = line[to - 1].bytes;
        for from in (0..to - 1).rev() {
            bytes += line[from].bytes + line[from].end.filter(|end| end.2).map_or(0, |end| end.1);
            if bytes > limit {
                break;
            }
            found = found.min((best[from].0, from));
        }
        best.push((found.0 + end, found.1));
    }
    let mut cuts = Vec::new();
    let mut at = best[line.len()].1;
    while at > 0 {
        cuts.push(at);
        at = best[at].1;
    }
    cuts.reverse();
    cuts
}

fn spans<'c>(line: &[Piece], cuts: &'c [usize]) -> impl Iterator<Item = (usize, usize)> + use<'c> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(cuts.iter().copied().chain([line.len()]))
}

fn largest(line: &[Piece], cuts: &[usize]) -> u64 {
    spans(line, cuts).map(|(from, to)| size(&line[from..to])).max().unwrap_or(0)
}

fn stays(line: &[Piece], cuts: &[usize]) -> u64 {
    cuts.iter().filter_map(|at| line[at - 1].end).map(|end| end.1).sum()
}

fn bytes(graph: &Graph, value: ValueId) -> u64 {
    let size = |ty: crate::ir::TensorType| Some(ty.shape()?.iter().product::<usize>() * ty.dtype.size());
    graph.ty(value).and_then(size).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pieces: &[(u64, u64)]) -> Vec<Piece> {
        let last = pieces.len() - 1;
        let piece = |(index, (bytes, end)): (usize, &(u64, u64))| Piece {
            nodes: vec![index],
            bytes: *bytes,
            end: (index < last).then_some((ValueId(index as u32), *end, false)),
        };
        pieces.iter().enumerate().map(piece).collect()
    }

    #[test]
    fn cuts_lie_where_the_least_stays() {
        let equal = line(&[(4, 1); 12]);
        assert_eq!(cuts(&equal, 48), Vec::<usize>::new());
        assert_eq!(stays(&equal, &cuts(&equal, 16)), 2);
        assert_eq!(largest(&equal, &cuts(&equal, 16)), 16);
        // A piece that is larger than allowed stands alone.
        assert_eq!(cuts(&line(&[(1, 1), (9, 1), (1, 1)]), 4), [1, 2]);
        // Behind the second the value is small.
        assert_eq!(cuts(&line(&[(4, 8), (4, 1), (4, 8), (4, 8)]), 8), [2]);
    }
}

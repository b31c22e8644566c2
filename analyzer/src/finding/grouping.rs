//! Pairs of racing sites, gathered into bugs.
//!
//! Pairs belong to one bug if their stacks are the same but for lines, and they share a place: a
//! line of the program on either side, or an address. So `x += 1` on two threads, which is a read
//! and a write on each side, is one bug; and two variables in one function are two.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use mmtrace_format::StackId;

use crate::fingerprint::{Fingerprint, line_free};
use crate::race::RacePair;
use crate::symbol::{Frame, Symbols};

/// A stack with its names and what of them does not change with lines.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedStack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    key: String,
}

/// Stacks with names, each named once.
#[derive(Debug, Default)]
pub struct NamedStacks {
    named: HashMap<StackId, Rc<NamedStack>>,
}

impl NamedStacks {
    /// The stack with names.
    pub fn get(&mut self, id: StackId, symbols: &mut Symbols<'_>) -> Rc<NamedStack> {
        let named = self.named.entry(id).or_insert_with(|| {
            let frames = symbols.stack(id);
            let key = line_free(&frames);
            Rc::new(NamedStack { frames, key })
        });
        Rc::clone(named)
    }
}

/// One bug: which pairs belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// Places in the list of pairs, the pair to be shown first.
    pub pairs: Vec<usize>,
}

/// Gathers pairs into bugs, in the order of the first pair of each.
pub fn bugs(pairs: &[RacePair], stacks: &mut NamedStacks, symbols: &mut Symbols<'_>) -> Vec<Bug> {
    let mut groups: BTreeMap<(Rc<str>, Rc<str>), Vec<usize>> = BTreeMap::new();
    let mut lines = Vec::with_capacity(pairs.len());
    for (index, pair) in pairs.iter().enumerate() {
        let first = stacks.get(pair.first.stack, symbols);
        let second = stacks.get(pair.second.stack, symbols);
        lines.push([line(&first), line(&second)]);
        let (a, b) = if first.key <= second.key { (first, second) } else { (second, first) };
        groups.entry((a.key.as_str().into(), b.key.as_str().into())).or_default().push(index);
    }
    let mut bugs = Vec::new();
    for ((a, b), members) in groups {
        for (rank, mut pairs_of_bug) in split(pairs, &lines, &members).into_iter().enumerate() {
            // A pair that is sure is shown rather than one beside a gap.
            pairs_of_bug.sort_by_key(|&index| (pairs[index].uncertain, index));
            bugs.push(Bug {
                fingerprint: Fingerprint::new("race", &[&a, &b], rank),
                pairs: pairs_of_bug,
            });
        }
    }
    bugs.sort_by_key(|bug| bug.pairs.iter().min().copied());
    bugs
}

/// A stack's innermost place.
fn line(stack: &NamedStack) -> Option<(String, u32)> {
    let frame = stack.frames.first()?;
    Some((frame.file.clone().unwrap_or_default(), frame.line?))
}

/// Members that share a line or an address, by ascending lines.
fn split(
    pairs: &[RacePair],
    lines: &[[Option<(String, u32)>; 2]],
    members: &[usize],
) -> Vec<Vec<usize>> {
    let mut leaders: Vec<usize> = (0..members.len()).collect();
    let mut by_line = HashMap::new();
    let mut by_address = HashMap::new();
    for (place, &index) in members.iter().enumerate() {
        for line in lines[index].iter().flatten() {
            unite(&mut leaders, place, *by_line.entry(line).or_insert(place));
        }
        for address in [pairs[index].first.address, pairs[index].second.address] {
            unite(&mut leaders, place, *by_address.entry(address).or_insert(place));
        }
    }
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, &index) in members.iter().enumerate() {
        parts.entry(leader(&mut leaders, place)).or_default().push(index);
    }
    let mut parts: Vec<Vec<usize>> = parts.into_values().collect();
    parts.sort_by_key(|part| part.iter().map(|&index| sorted(&lines[index])).min());
    parts
}

fn sorted(lines: &[Option<(String, u32)>; 2]) -> [Option<&(String, u32)>; 2] {
    let [a, b] = [lines[0].as_ref(), lines[1].as_ref()];
    if a <= b { [a, b] } else { [b, a] }
}

/// The first of the set that a place belongs to.
pub(crate) fn leader(leaders: &mut [usize], mut place: usize) -> usize {
    while leaders[place] != place {
        leaders[place] = leaders[leaders[place]];
        place = leaders[place];
    }
    place
}

/// Makes one set of two.
pub(crate) fn unite(leaders: &mut [usize], a: usize, b: usize) {
    let (a, b) = (leader(leaders, a), leader(leaders, b));
    leaders[a.max(b)] = a.min(b);
}

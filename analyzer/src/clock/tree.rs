//! The tree under a clock: leaves of up to 512 times, branches of 16 children, all shared.
//!
//! A leaf is as long as its last entry needs, rounded up to a power of two: the clocks of eight
//! threads are 32 bytes each, and those of 512 are one allocation, not eight. Only beyond that are
//! there branches, and only there does sharing pay for itself.

use std::sync::Arc;

use super::LocalTime;

const LEAF_BITS: u32 = 9;
const LEAF_LEN_MAX: usize = 1 << LEAF_BITS;
const LEAF_LEN_MIN: usize = 8;
const FAN_BITS: u32 = 4;
const FAN_OUT: usize = 1 << FAN_BITS;

/// Times by slot; those beyond its end are 0. Its length is a power of two.
type Leaf = Arc<[LocalTime]>;

/// A subtree. Its height is known from the root: a branch at `height` h has 512 x 16^h slots.
#[derive(Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch(Arc<Branch>),
}

#[derive(Clone)]
pub(super) struct Branch {
    /// From 1: the height of its children's level, plus one.
    height: u32,
    children: [Option<Node>; FAN_OUT],
}

impl Branch {
    fn empty(height: u32) -> Self {
        Self { height, children: [const { None }; FAN_OUT] }
    }

    /// Which child holds `slot`, if `slot` is inside at all.
    #[inline]
    fn child_of(&self, slot: u32) -> Option<usize> {
        let index = (u64::from(slot) >> shift(self.height)) as usize;
        (index < FAN_OUT).then_some(index)
    }
}

/// Bits of a slot below the child index at this height.
#[inline]
const fn shift(height: u32) -> u32 {
    LEAF_BITS + FAN_BITS * (height - 1)
}

impl Node {
    /// The leaf with these times; there are a power of two of them.
    pub(super) fn of(times: &[LocalTime]) -> Self {
        Self::Leaf(times.into())
    }

    #[inline]
    fn height(&self) -> u32 {
        match self {
            Self::Leaf(_) => 0,
            Self::Branch(branch) => branch.height,
        }
    }

    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Branch(a), Self::Branch(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    #[inline]
    pub(super) fn time_of(&self, mut slot: u32) -> LocalTime {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(times) => return times.get(slot as usize).copied().unwrap_or(0),
                Self::Branch(branch) => {
                    let Some(index) = branch.child_of(slot) else { return 0 };
                    let Some(child) = &branch.children[index] else { return 0 };
                    slot &= (1 << shift(branch.height)) - 1;
                    node = child;
                }
            }
        }
    }

    /// All times, if they are in one leaf.
    #[inline]
    pub(super) fn leaf(&self) -> Option<&[LocalTime]> {
        match self {
            Self::Leaf(times) => Some(times),
            Self::Branch(_) => None,
        }
    }

    /// The leaf of the first slots; empty if there is none.
    #[inline]
    pub(super) fn first_times(&self) -> &[LocalTime] {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(times) => return times,
                Self::Branch(branch) => match &branch.children[0] {
                    Some(child) => node = child,
                    None => return &[],
                },
            }
        }
    }

    pub(super) fn for_each(&self, base: u32, visit: &mut impl FnMut(u32, LocalTime)) {
        match self {
            Self::Leaf(times) => {
                for (slot, &time) in (base..).zip(times.iter()) {
                    if time != 0 {
                        visit(slot, time);
                    }
                }
            }
            Self::Branch(branch) => {
                for (index, child) in (0..).zip(&branch.children) {
                    if let Some(child) = child {
                        child.for_each(base | (index << shift(branch.height)), visit);
                    }
                }
            }
        }
    }
}

/// Raises a tree until its root is at this height.
fn grow(root: &mut Node, height: u32) {
    for level in root.height() + 1..=height {
        let mut branch = Branch::empty(level);
        branch.children[0] = Some(std::mem::replace(root, Node::Leaf(Arc::new([]))));
        *root = Node::Branch(Arc::new(branch));
    }
}

fn height_for(slot: u32) -> u32 {
    let bits = u32::BITS - slot.leading_zeros();
    bits.saturating_sub(LEAF_BITS).div_ceil(FAN_BITS)
}

/// Sets one entry; the caller has seen that it is news.
pub(super) fn raise(root: &mut Node, slot: u32, time: LocalTime, spare: &mut Spare) {
    grow(root, height_for(slot));
    raise_at(root, slot, time, spare);
}

fn raise_at(node: &mut Node, slot: u32, time: LocalTime, spare: &mut Spare) {
    match node {
        Node::Leaf(times) => {
            let slot = slot as usize % LEAF_LEN_MAX;
            times_mut(times, slot + 1, spare)[slot] = time;
        }
        Node::Branch(branch) => {
            let height = branch.height;
            let index = (slot >> shift(height)) as usize % FAN_OUT;
            let rest = slot & ((1 << shift(height)) - 1);
            let child = Arc::make_mut(branch).children[index].get_or_insert_with(|| match height {
                1 => Node::Leaf(Arc::new([])),
                _ => Node::Branch(Arc::new(Branch::empty(height - 1))),
            });
            raise_at(child, rest, time, spare);
        }
    }
}

/// Leaves that nobody holds any more, to be written over instead of allocated: in a wide clock most
/// of an acquire is a new leaf.
#[derive(Clone, Debug, Default)]
pub struct Spare {
    /// By the logarithm of their length.
    leaves: [Vec<Leaf>; LEAF_BITS as usize + 1],
}

impl Spare {
    /// Takes what a clock that is not needed any more leaves behind.
    pub(super) fn give(&mut self, root: Node) {
        if let Node::Leaf(leaf) = root {
            self.give_leaf(leaf);
        }
    }

    fn give_leaf(&mut self, mut leaf: Leaf) {
        if unshared(&mut leaf).is_some_and(|times| !times.is_empty()) {
            self.leaves[leaf.len().ilog2() as usize].push(leaf);
        }
    }

    /// A leaf that nobody else has, with any times. Its length is a power of two.
    fn leaf(&mut self, len: usize) -> Leaf {
        let spare = self.leaves[len.ilog2() as usize].pop();
        spare.unwrap_or_else(|| std::iter::repeat_n(0, len).collect())
    }
}

/// A leaf's times, to be changed, at least `len` of them: copied if somebody shares them.
#[inline]
fn times_mut<'l>(leaf: &'l mut Leaf, len: usize, spare: &mut Spare) -> &'l mut [LocalTime] {
    if leaf.len() < len {
        *leaf = lengthened(leaf, len);
    } else if unshared(leaf).is_none() {
        let mut copy = spare.leaf(leaf.len());
        if let Some(times) = Arc::get_mut(&mut copy) {
            times.copy_from_slice(leaf);
        }
        *leaf = copy;
    }
    Arc::get_mut(leaf).expect("it has just been copied")
}

#[cold]
fn lengthened(times: &[LocalTime], len: usize) -> Leaf {
    let zeros = len.next_power_of_two().max(LEAF_LEN_MIN) - times.len();
    times.iter().copied().chain(std::iter::repeat_n(0, zeros)).collect()
}

/// Joins `theirs` into `mine`; says whether anything was news.
#[inline]
pub(super) fn join(mine: &mut Node, theirs: &Node, spare: &mut Spare) -> bool {
    grow(mine, theirs.height());
    join_into(mine, theirs, spare).is_news()
}

/// How two subtrees compare, from the side that is joined into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// The same entries.
    Equal,
    /// Mine knew all of theirs, and more.
    Known,
    /// Theirs knew all of mine, and more; mine is now theirs.
    Taken,
    /// Each knew something that the other did not.
    Mixed,
}

impl Joined {
    fn is_news(self) -> bool {
        matches!(self, Self::Taken | Self::Mixed)
    }

    fn of(mine_more: bool, theirs_more: bool) -> Self {
        match (mine_more, theirs_more) {
            (false, false) => Self::Equal,
            (true, false) => Self::Known,
            (false, true) => Self::Taken,
            (true, true) => Self::Mixed,
        }
    }
}

/// `mine` is at least as high as `theirs`.
fn join_into(mine: &mut Node, theirs: &Node, spare: &mut Spare) -> Joined {
    if mine.is(theirs) {
        return Joined::Equal;
    }
    match (&mut *mine, theirs) {
        (Node::Leaf(ours), Node::Leaf(other)) => join_leaf(ours, other, spare),
        (Node::Branch(ours), Node::Branch(other)) if ours.height == other.height => {
            let joined = join_branch(ours, other, spare);
            if joined == Joined::Taken {
                // The rest of mine is older than theirs: share it, so that the next join of the
                // two is one comparison.
                *mine = theirs.clone();
            }
            joined
        }
        (Node::Branch(ours), _) => join_lower(ours, theirs, spare),
        (Node::Leaf(_), Node::Branch(_)) => unreachable!("the caller made mine high enough"),
    }
}

/// Joins a tree that is lower than `ours`: all of it lies under the first child.
fn join_lower(ours: &mut Arc<Branch>, theirs: &Node, spare: &mut Spare) -> Joined {
    let others = ours.children.iter().skip(1).any(Option::is_some);
    let under = if ours.children[0].is_some() {
        join_child(ours, 0, theirs, spare)
    } else {
        let mut child = theirs.clone();
        grow(&mut child, ours.height - 1);
        Arc::make_mut(ours).children[0] = Some(child);
        Joined::Taken
    };
    // Whatever the other children hold, theirs does not.
    Joined::of(others || matches!(under, Joined::Known | Joined::Mixed), under.is_news())
}

fn join_leaf(ours: &mut Leaf, other: &Leaf, spare: &mut Spare) -> Joined {
    let is_wide = ours.len() >= WIDE;
    let joined = if is_wide { Joined::Mixed } else { compare(ours, other) };
    let joined = if joined == Joined::Mixed { join_times(ours, other, spare) } else { joined };
    if matches!(joined, Joined::Equal | Joined::Taken) {
        // The same leaf on both sides: the next join of the two is one comparison.
        spare.give_leaf(std::mem::replace(ours, Arc::clone(other)));
    }
    joined
}

/// To compare leaves of so many times first would be to read them twice: wide clocks are mostly
/// memory that moves.
const WIDE: usize = 64;

/// Times are compared as signed numbers, which every processor can do many at a time.
const _: () = assert!(super::chains::TIME_MAX <= i32::MAX as LocalTime);

/// The later time.
#[inline]
pub(super) fn larger(a: LocalTime, b: LocalTime) -> LocalTime {
    a.cast_signed().max(b.cast_signed()).cast_unsigned()
}

fn compare(mine: &[LocalTime], theirs: &[LocalTime]) -> Joined {
    let common = mine.len().min(theirs.len());
    let (mut mine_more, mut theirs_more) = (0, 0);
    // No branch inside, so that the loop becomes vector instructions.
    for (&mine, &theirs) in mine.iter().zip(theirs) {
        mine_more |= u32::from(mine.cast_signed() > theirs.cast_signed());
        theirs_more |= u32::from(theirs.cast_signed() > mine.cast_signed());
    }
    let beyond = |times: &[LocalTime]| times[common..].iter().any(|&time| time > 0);
    Joined::of(mine_more != 0 || beyond(mine), theirs_more != 0 || beyond(theirs))
}

/// Makes `ours` the larger time of each slot, unless one of the two is that already.
fn join_times(ours: &mut Leaf, other: &Leaf, spare: &mut Spare) -> Joined {
    let mut both = spare.leaf(ours.len().max(other.len()));
    let times = Arc::get_mut(&mut both).expect("nobody else has a spare leaf");
    for ((both, &mine), &theirs) in times.iter_mut().zip(ours.iter()).zip(other.iter()) {
        *both = larger(mine, theirs);
    }
    let common = ours.len().min(other.len());
    let rest = if ours.len() > common { &ours[common..] } else { &other[common..] };
    times[common..].copy_from_slice(rest);
    let is_more = |than: &[LocalTime]| {
        let (common, rest) = times.split_at(than.len());
        common != than || rest.iter().any(|&time| time > 0)
    };
    let joined = Joined::of(is_more(other), is_more(ours));
    let unused = if joined == Joined::Mixed { std::mem::replace(ours, both) } else { both };
    spare.give_leaf(unused);
    joined
}

/// A leaf's times, if nobody shares it. Where somebody does, that is seen without a lock.
#[inline]
fn unshared(leaf: &mut Leaf) -> Option<&mut [LocalTime]> {
    if Arc::strong_count(leaf) > 1 { None } else { Arc::get_mut(leaf) }
}

fn join_branch(ours: &mut Arc<Branch>, other: &Branch, spare: &mut Spare) -> Joined {
    let (mut mine_more, mut theirs_more) = (false, false);
    for (index, theirs) in other.children.iter().enumerate() {
        let joined = match (&ours.children[index], theirs) {
            (None, None) => Joined::Equal,
            (Some(_), None) => Joined::Known,
            (None, Some(theirs)) => {
                Arc::make_mut(ours).children[index] = Some(theirs.clone());
                Joined::Taken
            }
            (Some(_), Some(theirs)) => join_child(ours, index, theirs, spare),
        };
        mine_more |= matches!(joined, Joined::Known | Joined::Mixed);
        theirs_more |= joined.is_news();
    }
    Joined::of(mine_more, theirs_more)
}

fn join_child(ours: &mut Arc<Branch>, index: usize, theirs: &Node, spare: &mut Spare) -> Joined {
    if ours.children[index].as_ref().is_some_and(|mine| mine.is(theirs)) {
        return Joined::Equal;
    }
    if let Some(branch) = Arc::get_mut(ours) {
        let place = &mut branch.children[index];
        return place.as_mut().map_or(Joined::Taken, |mine| join_into(mine, theirs, spare));
    }
    // Somebody shares this branch: copy it only if there is news.
    let Some(mut child) = ours.children[index].clone() else { return Joined::Taken };
    let joined = join_into(&mut child, theirs, spare);
    if joined.is_news() {
        Arc::make_mut(ours).children[index] = Some(child);
    }
    joined
}

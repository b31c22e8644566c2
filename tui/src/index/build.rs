//! Building an index: all chunks in parallel, then lane by lane.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use mmtrace_format::chunk::{LaneDecoder, SyncColumns};
use mmtrace_format::{Log, StackId, StringId, ThreadId};
use rayon::prelude::*;

use super::bins::{BIN_COUNT, Bins};
use super::file::{SECTION_COUNT, Source, content_key, write};
use super::gather::Parts;
use super::holds::{HOLD_WORDS, Holds};
use super::lane::{Group, Lane};
use super::scan::{ChunkScan, Note, presence, scan, unpack};
use super::spans::{SUM_WORDS, Spans};
use super::spill::Spill;
use super::state::{STATE_COUNT, State, Times};
use super::visit::Change;

/// Chunks that are decoded before what they say is put away.
const CHUNKS_AT_ONCE: usize = 32;

/// Groups that get a table of bins each: the largest.
const GROUPS_WITH_BINS: usize = 64;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The log's directory: who was there when. At once, however long the log is.
    Presence,
    /// Every event of the sync lanes.
    States,
}

/// Is told how many chunks of how many are done; says whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(usize, usize) -> bool;

/// What is known of a thread before its lane is built.
#[derive(Default)]
struct Birth {
    parent: Option<ThreadId>,
    created_at: StackId,
    spawn_ns: Option<u64>,
    name: StringId,
    test: StringId,
}

struct FirstPass {
    visits: Parts,
    readies: Parts,
    is_damaged: Vec<bool>,
    density: Vec<u64>,
    births: HashMap<ThreadId, Birth>,
    collections: Vec<[u64; 3]>,
    makes: Vec<[u64; 3]>,
    objects: Spill,
    /// Where each chunk's objects begin.
    object_starts: Vec<u64>,
}

/// Builds an index and writes it. `folder` takes what does not fit into memory meanwhile.
///
/// # Errors
/// What the system says; [`io::ErrorKind::Interrupted`] if `watch` did not want to go on.
pub(crate) fn build(
    log: &Log,
    detail: Detail,
    folder: &Path,
    sink: &mut impl io::Write,
    watch: Watch<'_>,
) -> io::Result<()> {
    let range = log.time_range().map_or((0, 0), |(first, last)| (first.ns, last.ns));
    let bins = Bins::new(range.0, range.1);
    let mut first = first_pass(log, detail, bins, folder, watch)?;
    let count = log.chunks().len();
    let (groups, members, group_of) = groups(log, &first.births);
    let mut tables = BinTables::new(bins, range.1, &groups);
    let mut lanes = Lanes::new(folder, range.1);
    let threads = log.threads();
    for (place, &thread) in threads.iter().enumerate() {
        let group = group_of[place];
        let birth = first.births.remove(&thread).unwrap_or_default();
        let built = lanes.build(log, thread, detail, &birth, &mut first)?;
        tables.add(&built.starts, groups[group as usize].bins);
        lanes.push(thread, group, &birth, &built, range)?;
        if !watch(count + count * (place + 1) / threads.len(), 2 * count) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let groups: Vec<u64> = groups.iter().flat_map(|group| group.to_words()).collect();
    first.collections.sort_unstable();
    first.makes.sort_unstable();
    let waited = lanes.waited_words();
    let mut sections: [Source<'_>; SECTION_COUNT] = [
        Source::Words(&lanes.words),
        Source::Words(&groups),
        Source::Words(&members),
        Source::Words(&first.density),
        Source::Words(&tables.words),
        Source::Words(first.collections.as_flattened()),
        Source::Words(&waited),
        Source::Words(first.makes.as_flattened()),
        Source::Words(&first.object_starts),
        Source::Spill(&mut lanes.fragments),
        Source::Spill(&mut lanes.spans),
        Source::Spill(&mut lanes.sums),
        Source::Spill(&mut lanes.links),
        Source::Spill(&mut lanes.holds),
        Source::Spill(&mut first.objects),
    ];
    write(sink, content_key(log), range, &mut sections)
}

fn first_pass(
    log: &Log,
    detail: Detail,
    bins: Bins,
    folder: &Path,
    watch: Watch<'_>,
) -> io::Result<FirstPass> {
    let mut pass = FirstPass {
        visits: Parts::new(folder),
        readies: Parts::new(folder),
        is_damaged: Vec::with_capacity(log.chunks().len()),
        density: vec![0; BIN_COUNT as usize],
        births: HashMap::new(),
        collections: Vec::new(),
        makes: Vec::new(),
        objects: Spill::new(folder),
        object_starts: vec![0],
    };
    let count = log.chunks().len();
    for start in (0..count).step_by(CHUNKS_AT_ONCE) {
        let batch = start..count.min(start + CHUNKS_AT_ONCE);
        let end = batch.end;
        let scans: Vec<ChunkScan> = match detail {
            Detail::Presence => batch.map(|chunk| presence(log, chunk, bins)).collect(),
            Detail::States => batch
                .into_par_iter()
                .map_init(<(LaneDecoder, SyncColumns)>::default, |lane, chunk| {
                    scan(log, chunk, bins, lane)
                })
                .collect(),
        };
        for scan in scans {
            pass.take(scan)?;
        }
        log.advise_all_done();
        // The lanes are the other half.
        if !watch(end, 2 * count) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    pass.visits.sort();
    pass.readies.sort();
    Ok(pass)
}

impl FirstPass {
    fn take(&mut self, scan: ChunkScan) -> io::Result<()> {
        // There are fewer than 2^32 chunks.
        let chunk = self.is_damaged.len() as u32;
        self.is_damaged.push(scan.is_damaged);
        let rest = self.visits.take(chunk, &scan.visits, &scan.packed)?;
        self.readies.take(chunk, &scan.readies, rest)?;
        self.objects.extend_words(&scan.objects)?;
        self.object_starts.push(self.objects.word_count());
        for (bin, count) in scan.density {
            self.density[bin as usize] += count;
        }
        for note in scan.notes {
            match note {
                Note::Spawn { child, parent, stack, time_ns } => {
                    let birth = self.births.entry(child).or_default();
                    (birth.parent, birth.created_at) = (Some(parent), stack);
                    birth.spawn_ns = Some(time_ns);
                }
                Note::Name { thread, name } => self.births.entry(thread).or_default().name = name,
                Note::Test { thread, test } => self.births.entry(thread).or_default().test = test,
                Note::Make { object, time_ns, room } => self.makes.push([object, time_ns, room]),
                Note::Gc { time_ns, live, goal } => {
                    self.collections.push([time_ns, live, goal.map_or(0, |goal| goal.max(1))]);
                }
            }
        }
        Ok(())
    }
}

/// The lanes that were built, one after the other.
struct Lanes {
    /// When the log ends.
    end_ns: u64,
    words: Vec<u64>,
    fragments: Spill,
    spans: Spill,
    sums: Spill,
    links: Spill,
    holds: Spill,
    /// The numbers of objects that are waited for, from 1.
    waited: HashMap<u64, u32>,
}

/// A lane that was built, apart from its fragments, which are put away as they come.
struct Built {
    starts: Vec<u64>,
    link_words: Vec<u64>,
    sums: Vec<u64>,
    totals: Times,
    holds: Vec<u64>,
    fragment_start: u64,
    records: u64,
}

impl Lanes {
    fn new(folder: &Path, end_ns: u64) -> Self {
        Self {
            end_ns,
            words: Vec::new(),
            fragments: Spill::new(folder),
            spans: Spill::new(folder),
            sums: Spill::new(folder),
            links: Spill::new(folder),
            holds: Spill::new(folder),
            waited: HashMap::new(),
        }
    }

    fn build(
        &mut self,
        log: &Log,
        thread: ThreadId,
        detail: Detail,
        birth: &Birth,
        first: &mut FirstPass,
    ) -> io::Result<Built> {
        let FirstPass { visits, readies, is_damaged, .. } = first;
        let mut readies = readies.readies(thread)?;
        let mut spans = Spans::default();
        let mut holds = Holds::default();
        let fragment_start = self.fragments.word_count() / 3;
        // Fragments of a lane are counted in 32 bits: each takes four bytes of the log.
        let (mut latest_ns, mut records, mut number) = (0, 0, 0_u32);
        let numbers = |chunk: u32| log.chunks()[chunk as usize].header.number;
        // When the lane was switched away from is a guess: at the latest when its stream goes on. It
        // may be back, on another one, before that.
        let mut switched_away: Option<Change> = None;
        visits.fragments(thread, numbers, |chunk, fragment| {
            if let Some(away) = switched_away.take().filter(|it| it.time_ns < fragment.first_ns) {
                spans.push(away.time_ns, away.state, 0, &mut readies)?;
            }
            // Within a thread time does not go back; a damaged log may say that it does.
            latest_ns = fragment.first_ns.max(latest_ns);
            // Nobody acts before being started: two clocks may say so.
            let spawn_ns = birth.spawn_ns.filter(|_| number == 0 && thread != ThreadId::MAIN);
            if let Some(spawn_ns) = spawn_ns {
                spans.push(spawn_ns, State::Runnable, 0, &mut readies)?;
                latest_ns = spawn_ns.max(latest_ns);
            }
            if detail == Detail::States {
                let packed = u64::from(chunk) << 32 | u64::from(fragment.place);
                self.fragments.extend_words(&[records, latest_ns, packed])?;
            }
            records += u64::from(fragment.records);
            let (changes, away) = match fragment.changes.split_last() {
                // No event of its own makes a lane runnable.
                Some((last, others)) if last.state == State::Runnable => (others, Some(*last)),
                _ => (fragment.changes.as_slice(), None),
            };
            switched_away = away;
            for change in changes {
                let link = if change.state.is_waiting() && change.object != 0 {
                    // Objects that are waited for are fewer than waits.
                    let next = self.waited.len() as u32 + 1;
                    *self.waited.entry(change.object).or_insert(next)
                } else {
                    0
                };
                spans.push(change.time_ns, change.state, link, &mut readies)?;
            }
            holds.add(&fragment.effects, number);
            number = number.saturating_add(1);
            if is_damaged[chunk as usize] {
                latest_ns = log.chunks()[chunk as usize].header.last_time.ns.max(latest_ns);
            }
            Ok(())
        })?;
        if let Some(away) = switched_away {
            spans.push(away.time_ns, away.state, 0, &mut readies)?;
        }
        spans.finish(&mut readies)?;
        let (sums, totals) = spans.sums(self.end_ns);
        let (link_words, holds) = (spans.link_words(), holds.finish());
        Ok(Built { starts: spans.starts, link_words, sums, totals, holds, fragment_start, records })
    }

    fn push(
        &mut self,
        thread: ThreadId,
        group: u32,
        birth: &Birth,
        built: &Built,
        range: (u64, u64),
    ) -> io::Result<()> {
        let born_ns = built.starts.first().map_or(range.0, |&word| unpack(word).0);
        let last = built.starts.last().map(|&word| unpack(word));
        let ended = last.filter(|&(_, state)| state == State::Ended);
        self.words.extend(
            Lane {
                thread,
                parent: birth.parent,
                name: birth.name,
                test: birth.test,
                created_at: birth.created_at,
                group,
                born_ns,
                ended_ns: ended.map_or(u64::MAX, |(time_ns, _)| time_ns),
                records: built.records,
                span_start: self.spans.word_count(),
                span_count: built.starts.len() as u64,
                sum_start: self.sums.word_count() / SUM_WORDS as u64,
                fragment_start: built.fragment_start,
                fragment_count: self.fragments.word_count() / 3 - built.fragment_start,
                link_start: self.links.word_count(),
                hold_start: self.holds.word_count() / HOLD_WORDS as u64,
                hold_count: (built.holds.len() / HOLD_WORDS) as u64,
                totals: built.totals,
            }
            .to_words(),
        );
        self.spans.extend_words(&built.starts)?;
        self.sums.extend_words(&built.sums)?;
        self.links.extend_words(&built.link_words)?;
        self.holds.extend_words(&built.holds)
    }

    fn waited_words(&self) -> Vec<u64> {
        let mut pairs: Vec<[u64; 2]> =
            self.waited.iter().map(|(&object, &number)| [object, u64::from(number)]).collect();
        pairs.sort_unstable();
        pairs.concat()
    }
}

/// Groups by where threads were started; the members of each; and each thread's group.
fn groups(log: &Log, births: &HashMap<ThreadId, Birth>) -> (Vec<Group>, Vec<u64>, Vec<u32>) {
    let mut numbers: HashMap<StackId, u32> = HashMap::new();
    let mut members: Vec<Vec<u64>> = Vec::new();
    let mut stacks = Vec::new();
    let mut group_of = Vec::with_capacity(log.threads().len());
    for (place, thread) in log.threads().iter().enumerate() {
        let stack = births.get(thread).map_or(StackId::UNKNOWN, |birth| birth.created_at);
        let number = *numbers.entry(stack).or_insert_with(|| {
            members.push(Vec::new());
            stacks.push(stack);
            members.len() as u32 - 1
        });
        members[number as usize].push(place as u64);
        group_of.push(number);
    }
    let mut by_size: Vec<usize> = (0..members.len()).filter(|&g| members[g].len() > 1).collect();
    by_size.sort_by_key(|&group| std::cmp::Reverse(members[group].len()));
    by_size.truncate(GROUPS_WITH_BINS);
    let mut groups = Vec::new();
    let mut member_start = 0;
    for (number, (lanes, created_at)) in members.iter().zip(stacks).enumerate() {
        // Table 0 is that of all lanes.
        let bins = by_size.iter().position(|&group| group == number).map(|at| at as u32 + 1);
        groups.push(Group { created_at, lane_count: lanes.len() as u32, member_start, bins });
        member_start += lanes.len() as u64;
    }
    (groups, members.concat(), group_of)
}

/// Time in each state by bin, of all lanes and of the large groups.
struct BinTables {
    bins: Bins,
    end_ns: u64,
    words: Vec<u64>,
}

impl BinTables {
    fn new(bins: Bins, end_ns: u64, groups: &[Group]) -> Self {
        let tables = 1 + groups.iter().filter(|group| group.bins.is_some()).count();
        Self { bins, end_ns, words: vec![0; tables * BIN_COUNT as usize * STATE_COUNT] }
    }

    fn add(&mut self, starts: &[u64], table: Option<u32>) {
        for (place, &start) in starts.iter().enumerate() {
            let (start_ns, state) = unpack(start);
            let end_ns = starts.get(place + 1).map_or(self.end_ns, |&next| unpack(next).0);
            if state == State::Ended || end_ns <= start_ns {
                continue;
            }
            for bin in self.bins.of(start_ns)..=self.bins.of(end_ns - 1) {
                let bin_start = self.bins.start_ns(bin);
                let from = start_ns.max(bin_start);
                let to = end_ns.min(bin_start.saturating_add(self.bins.width_ns()));
                for table in [Some(0), table].into_iter().flatten() {
                    let at = (table as usize * BIN_COUNT as usize + bin as usize) * STATE_COUNT;
                    self.words[at + state as usize] += to.saturating_sub(from);
                }
            }
        }
    }
}

//! Building an index: all chunks in parallel, then lane by lane.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use mmtrace_format::chunk::{LaneDecoder, SyncColumns};
use mmtrace_format::{Log, StackId, StringId, ThreadId};
use rayon::prelude::*;

use super::bins::{BIN_COUNT, Bins};
use super::file::{SECTION_COUNT, Source, content_key, write};
use super::lane::{Group, Lane};
use super::scan::{ChunkScan, FragmentScan, Note, presence, scan, unpack};
use super::spans::Spans;
use super::spill::Spill;
use super::state::{STATE_COUNT, State};

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

/// What the first pass says of a chunk, apart from its changes of state.
struct ChunkFacts {
    change_start: u64,
    fragments: Vec<FragmentScan>,
    is_damaged: bool,
}

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
    changes: Spill,
    chunks: Vec<ChunkFacts>,
    density: Vec<u64>,
    births: HashMap<ThreadId, Birth>,
    readies: HashMap<ThreadId, Vec<u64>>,
    collections: Vec<[u64; 3]>,
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
    let (groups, members, group_of) = groups(log, &first.births);
    let mut tables = BinTables::new(bins, range.1, &groups);
    let mut lanes = Vec::new();
    let mut fragments = Spill::new(folder);
    let mut spans = Spill::new(folder);
    let mut sums = Spill::new(folder);
    for (place, &thread) in log.threads().iter().enumerate() {
        let group = group_of[place];
        let birth = first.births.remove(&thread).unwrap_or_default();
        let (fragment_start, span_start) = (fragments.len() / 3, spans.len());
        let lane = first.lane(log, thread, &birth, &mut fragments)?;
        let (lane_sums, totals) = lane.spans.sums(range.1);
        tables.add(&lane.spans.starts, groups[group as usize].bins);
        let first_span = lane.spans.starts.first().copied().map_or(range.0, |word| unpack(word).0);
        let ended = lane.spans.last().filter(|&(_, state)| state == State::Ended);
        lanes.extend(
            Lane {
                thread,
                parent: birth.parent,
                name: birth.name,
                test: birth.test,
                created_at: birth.created_at,
                group,
                born_ns: first_span,
                ended_ns: ended.map_or(u64::MAX, |(time_ns, _)| time_ns),
                records: lane.records,
                span_start,
                span_count: lane.spans.starts.len() as u64,
                sum_start: sums.len() / super::spans::SUM_WORDS as u64,
                fragment_start,
                fragment_count: fragments.len() / 3 - fragment_start,
                totals,
            }
            .to_words(),
        );
        spans.extend(&lane.spans.starts)?;
        sums.extend(&lane_sums)?;
    }
    let groups: Vec<u64> = groups.iter().flat_map(|group| group.to_words()).collect();
    first.collections.sort_unstable();
    let mut sections: [Source<'_>; SECTION_COUNT] = [
        Source::Words(&lanes),
        Source::Words(&groups),
        Source::Words(&members),
        Source::Words(&first.density),
        Source::Words(&tables.words),
        Source::Words(first.collections.as_flattened()),
        Source::Spill(&mut fragments),
        Source::Spill(&mut spans),
        Source::Spill(&mut sums),
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
        changes: Spill::new(folder),
        chunks: Vec::with_capacity(log.chunks().len()),
        density: vec![0; BIN_COUNT as usize],
        births: HashMap::new(),
        readies: HashMap::new(),
        collections: Vec::new(),
    };
    let count = log.chunks().len();
    for start in (0..count).step_by(CHUNKS_AT_ONCE) {
        let batch = start..count.min(start + CHUNKS_AT_ONCE);
        let end = batch.end;
        let scans: Vec<ChunkScan> = match detail {
            Detail::Presence => batch.map(|chunk| presence(&log.chunks()[chunk], bins)).collect(),
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
        if !watch(end, count) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    for times in pass.readies.values_mut() {
        times.sort_unstable();
    }
    Ok(pass)
}

/// A lane that is being built.
struct Built {
    spans: Spans,
    records: u64,
}

impl FirstPass {
    fn take(&mut self, scan: ChunkScan) -> io::Result<()> {
        self.chunks.push(ChunkFacts {
            change_start: self.changes.len(),
            fragments: scan.fragments,
            is_damaged: scan.is_damaged,
        });
        self.changes.extend(&scan.changes)?;
        for (bin, count) in scan.density {
            self.density[bin as usize] += count;
        }
        for note in scan.notes {
            match note {
                Note::Ready { thread, time_ns } => {
                    self.readies.entry(thread).or_default().push(time_ns);
                }
                Note::Spawn { child, parent, stack, time_ns } => {
                    let birth = self.births.entry(child).or_default();
                    (birth.parent, birth.created_at) = (Some(parent), stack);
                    birth.spawn_ns = Some(time_ns);
                }
                Note::Name { thread, name } => self.births.entry(thread).or_default().name = name,
                Note::Test { thread, test } => self.births.entry(thread).or_default().test = test,
                Note::Gc { time_ns, live, goal } => {
                    self.collections.push([time_ns, live, goal.map_or(0, |goal| goal.max(1))]);
                }
            }
        }
        Ok(())
    }

    fn lane(
        &mut self,
        log: &Log,
        thread: ThreadId,
        birth: &Birth,
        fragments: &mut Spill,
    ) -> io::Result<Built> {
        let readies = self.readies.remove(&thread).unwrap_or_default().into();
        let mut lane = Built { spans: Spans { starts: Vec::new(), readies }, records: 0 };
        let mut buffer = Vec::new();
        let mut latest_ns = 0;
        for (number, place) in log.fragments_of(thread).iter().enumerate() {
            let chunk = &self.chunks[place.chunk as usize];
            let fragment = chunk.fragments[place.fragment as usize];
            let before = place.fragment.checked_sub(1);
            let start = before.map_or(0, |before| chunk.fragments[before as usize].end);
            let (at, count) = (chunk.change_start + u64::from(start), fragment.end - start);
            // Within a thread time does not go back; a damaged log may say that it does.
            latest_ns = fragment.first_ns.max(latest_ns);
            if number == 0 && thread != ThreadId::MAIN {
                // Nobody acts before being started: two clocks may say so.
                if let Some(spawn_ns) = birth.spawn_ns {
                    lane.spans.push(spawn_ns, State::Runnable);
                    latest_ns = spawn_ns.max(latest_ns);
                }
            }
            let packed = u64::from(place.chunk) << 32 | u64::from(place.fragment);
            fragments.extend(&[lane.records, latest_ns, packed])?;
            lane.records += u64::from(fragment.records);
            let is_damaged = chunk.is_damaged;
            self.changes.read(at, count as usize, &mut buffer)?;
            for &change in &buffer {
                let (time_ns, state) = unpack(change);
                lane.spans.push(time_ns, state);
            }
            if is_damaged {
                latest_ns = log.chunks()[place.chunk as usize].header.last_time.ns.max(latest_ns);
            }
        }
        lane.spans.finish();
        Ok(lane)
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

//! What a screen of timelines shows: O(columns x log spans) a row.

use std::collections::BTreeMap;

use mmtrace_format::event::EventGroup;
use mmtrace_format::{EventKind, Timestamp};

use super::moment::Record;
use super::{Engine, marks_between};
use crate::index::{BIN_COUNT, Index, STATE_COUNT, State, Times, difference};
use crate::page::{Cell, EventGlyph, Marks, OverviewCell, Page, PageRequest, Row, Strips, Window};

/// Lanes of a group that are gone through one by one where its bins are too coarse.
const LANES_ONE_BY_ONE: usize = 256;

/// Chunks that are decoded to show events.
const CHUNKS_WITH_EVENTS: usize = 6;

impl Engine<'_> {
    /// Works out a page.
    pub fn page(&mut self, request: PageRequest) -> Page {
        let mut rows: Vec<Vec<Cell>> = request
            .rows
            .iter()
            .map(|&row| self.row(row, request.window, request.columns))
            .collect();
        self.put_events(&request, &mut rows);
        let overview = self.overview(request.overview_columns);
        let strips = self.strips(request.window, request.columns);
        Page { request, rows, overview, strips }
    }

    fn row(&self, row: Row, window: Window, columns: u16) -> Vec<Cell> {
        let none = Vec::new();
        let marks = match row {
            Row::Lane(lane) => self.marks.lanes.get(&lane),
            Row::Group(group) => self.marks.groups.get(&group),
        };
        let marks = marks.unwrap_or(&none);
        let times = match row {
            Row::Lane(lane) => lane_columns(&self.index, lane, window, columns),
            Row::Group(group) => group_columns(&self.index, group, window, columns),
        };
        let cells = times.into_iter().enumerate().map(|(column, (state, share, alive))| {
            // Columns are u16.
            let column = column as u16;
            let (from, to) =
                (window.start_of(column, columns), window.start_of(column + 1, columns));
            let marks = marks_between(marks, from, to);
            Cell { state, share, alive, marks, event: None }
        });
        cells.collect()
    }

    /// Where so little happens in the window that each event has a cell, shows them.
    fn put_events(&mut self, request: &PageRequest, rows: &mut [Vec<Cell>]) {
        let Window { from_ns, to_ns } = request.window;
        let last = Timestamp::from_ns(to_ns.saturating_sub(1));
        let chunks: Vec<usize> = self
            .log
            .chunks_between(Timestamp::from_ns(from_ns), last)
            .take(CHUNKS_WITH_EVENTS + 1)
            .collect();
        if chunks.len() > CHUNKS_WITH_EVENTS || request.columns == 0 {
            return;
        }
        // By row: a lane's events may come from many fragments, and from several chunks.
        let mut by_row: BTreeMap<usize, Vec<(u16, EventGlyph, u32)>> = BTreeMap::new();
        for chunk in chunks {
            // There are fewer than 2^32 chunks.
            let chunk = chunk as u32;
            let Some(decoded) = self.cache.get(self.log, chunk) else { continue };
            for (place, fragment) in (0..).zip(&decoded.header.fragments) {
                let Some(lane) = self.index.lane_of(fragment.thread) else { continue };
                let at = request.rows.iter().position(|&row| row == Row::Lane(lane));
                let Some(row) = at else { continue };
                let glyphs = by_row.entry(row).or_default();
                decoded.each(place, |_, record| {
                    let Some(glyph) = glyph_of(&record) else { return };
                    let column = request.window.column_of(record.time_ns(), request.columns);
                    let Some(column) = column else { return };
                    match glyphs.last_mut().filter(|last| last.0 == column) {
                        Some(last) => *last = (column, glyph.max(last.1), last.2 + 1),
                        None => glyphs.push((column, glyph, 1)),
                    }
                });
            }
        }
        for (row, glyphs) in by_row {
            // Crowded cells would hide the states.
            let count: u32 = glyphs.iter().map(|glyph| glyph.2).sum();
            if count > u32::from(request.columns) {
                continue;
            }
            for (column, glyph, _) in glyphs {
                let cell = &mut rows[row][usize::from(column)];
                cell.event = cell.event.max(Some(glyph));
            }
        }
    }

    fn overview(&self, columns: u16) -> Vec<OverviewCell> {
        let (first, last) = self.index.range();
        let window = Window { from_ns: first, to_ns: last.saturating_add(1) };
        let bins = self.index.bins();
        let mut cells = vec![OverviewCell::default(); usize::from(columns)];
        let mut density = vec![0; cells.len()];
        for bin in 0..BIN_COUNT {
            let middle = bins.start_ns(bin).saturating_add(bins.width_ns() / 2).clamp(first, last);
            if let Some(column) = window.column_of(middle, columns) {
                density[usize::from(column)] += self.index.density(bin);
            }
        }
        let most = density.iter().copied().max().unwrap_or(0).max(1);
        for (column, (cell, density)) in (0..).zip(cells.iter_mut().zip(density)) {
            // At least an eighth if there is anything at all.
            cell.density = u8::try_from((density * 8).div_ceil(most)).unwrap_or(8);
            let (from, to) =
                (window.start_of(column, columns), window.start_of(column + 1, columns));
            cell.marks = marks_between(&self.marks.all, from, to);
            let gap = |gap: &mmtrace_format::Gap| {
                let (Some(first), Some(last)) = (gap.first_time, gap.last_time) else {
                    return false;
                };
                first.ns < to && last.ns >= from
            };
            if self.log.gaps().iter().any(gap) {
                cell.marks = cell.marks.with(Marks::GAP);
            }
        }
        cells
    }

    fn strips(&self, window: Window, columns: u16) -> Strips {
        let bins = self.index.bins();
        let starts = (0..columns).map(|column| window.start_of(column, columns));
        let lanes = starts.clone().map(|time_ns| {
            let times = self.index.binned(None, bins.of(time_ns)).unwrap_or([0; STATE_COUNT]);
            let sum = alive_ns(&times);
            (sum + bins.width_ns() / 2) / bins.width_ns()
        });
        let heap = self.findings.as_ref().map(|findings| findings.heap.as_slice());
        let heap_at = |time_ns: u64| {
            let points = heap.filter(|points| !points.is_empty())?;
            let at = points.partition_point(|point| point.time_ns <= time_ns).checked_sub(1);
            Some(at.map_or(0, |at| points[at].live_bytes))
        };
        let collections: Vec<_> = self.index.collections().collect();
        let collecting = (0..columns).map(|column| {
            let (from, to) =
                (window.start_of(column, columns), window.start_of(column + 1, columns));
            let before = collections.partition_point(|c| c.time_ns < from);
            let runs = before.checked_sub(1).is_some_and(|at| collections[at].goal.is_none());
            runs || collections.get(before).is_some_and(|c| c.time_ns < to)
        });
        Strips {
            lanes: lanes.collect(),
            heap: starts.map(heap_at).collect(),
            collecting: collecting.collect(),
        }
    }
}

/// For each column: the state with most time in it, its share in percent, and lanes alive.
type Column = (State, u8, u32);

fn lane_columns(index: &Index, lane: usize, window: Window, columns: u16) -> Vec<Column> {
    let facts = index.lane(lane);
    let mut until = index.times_until(&facts, window.from_ns);
    (0..columns)
        .map(|column| {
            let (from, to) =
                (window.start_of(column, columns), window.start_of(column + 1, columns));
            if from == to {
                let state = index.state_at(&facts, from);
                return (state, 100, u32::from(state.is_alive()));
            }
            let next = index.times_until(&facts, to);
            let times = difference(&next, &until);
            until = next;
            let (state, share) = dominant(&times);
            // Nothing of it is after birth.
            let is_born = facts.born_ns < to;
            let state = if is_born { state } else { State::NotBorn };
            (state, share, u32::from(state.is_alive()))
        })
        .collect()
}

fn group_columns(index: &Index, group: usize, window: Window, columns: u16) -> Vec<Column> {
    let bins = index.bins();
    let is_fine = u128::from(window.len_ns()) < u128::from(bins.width_ns()) * u128::from(columns);
    let members: Vec<_> =
        index.members(group).take(LANES_ONE_BY_ONE + 1).map(|lane| index.lane(lane)).collect();
    let one_by_one = members.len() <= LANES_ONE_BY_ONE
        && (is_fine || members.len() <= 8 || index.binned(Some(group), 0).is_none());
    (0..columns)
        .map(|column| {
            let (from, to) =
                (window.start_of(column, columns), window.start_of(column + 1, columns).max(1));
            let to = to.max(from + 1);
            let mut times = [0; STATE_COUNT];
            let length = if one_by_one {
                for lane in &members {
                    add(&mut times, &index.times_between(lane, from, to));
                }
                to - from
            } else {
                let (first, last) = (bins.of(from), bins.of(to - 1));
                for bin in first..=last {
                    add(&mut times, &index.binned(Some(group), bin).unwrap_or([0; STATE_COUNT]));
                }
                bins.width_ns() * u64::from(last - first + 1)
            };
            let sum = alive_ns(&times);
            let (state, share) = dominant(&times);
            let lanes = if sum == 0 { 0 } else { sum.div_ceil(length.max(1)) };
            (state, share, u32::try_from(lanes).unwrap_or(u32::MAX))
        })
        .collect()
}

/// The time in which lanes were there.
fn alive_ns(times: &Times) -> u64 {
    State::ALL.iter().filter(|state| state.is_alive()).map(|&state| times[state as usize]).sum()
}

fn add(times: &mut Times, more: &Times) {
    for (time, more) in times.iter_mut().zip(more) {
        *time += more;
    }
}

/// The state with the most time, and its share of the time in which the lane was there.
fn dominant(times: &Times) -> (State, u8) {
    let (mut sum, mut most) = (0, 0);
    let mut state = None;
    for &other in State::ALL {
        let time = times[other as usize];
        if time > 0 && other.is_alive() {
            sum += time;
            // Of several, the first of the table.
            if time > most {
                (state, most) = (Some(other), time);
            }
        }
    }
    match state {
        Some(state) => {
            let share = u128::from(most) * 100 / u128::from(sum);
            (state, u8::try_from(share).unwrap_or(100))
        }
        None if times[State::Ended as usize] > 0 => (State::Ended, 100),
        None => (State::NotBorn, 100),
    }
}

/// What stands for a record. What a state shows already has no glyph.
fn glyph_of(record: &Record) -> Option<EventGlyph> {
    let Record::Event(event) = record else { return Some(EventGlyph::Access) };
    Some(match event.kind {
        EventKind::MutexLock | EventKind::ReadLock | EventKind::WriteLock => EventGlyph::Lock,
        EventKind::MutexUnlock | EventKind::ReadUnlock | EventKind::WriteUnlock => {
            EventGlyph::Unlock
        }
        EventKind::ChanSend | EventKind::ChanClose => EventGlyph::Send,
        EventKind::ChanRecv | EventKind::ChanRecvClosed => EventGlyph::Receive,
        EventKind::Switch => return None,
        EventKind::Mark | EventKind::SpanBegin | EventKind::SpanEnd => EventGlyph::Mark,
        kind => match kind.spec().group {
            EventGroup::Blocking => return None,
            EventGroup::Flow => EventGlyph::Flow,
            EventGroup::Atomic => EventGlyph::Atomic,
            EventGroup::Memory => EventGlyph::Heap,
            _ => EventGlyph::Other,
        },
    })
}

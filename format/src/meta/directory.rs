//! Chunks in the index: column by column, without their fragments.

use bincode::{Decode, Encode};

use super::{ChunkRecord, MetaError};
use crate::chunk::{ChunkHeader, ChunkSummary};
use crate::id::StreamId;
use crate::log::threads::steps;
use crate::units::{FileOffset, Timestamp};

/// Numbers that are kept of each chunk.
const COLUMNS: usize = 9;

/// A chunk as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRow {
    pub(crate) offset: FileOffset,
    pub(crate) payload_len: u64,
    pub(crate) summary: ChunkSummary,
    /// Who runs in it: ascending, as differences from each to the next, from 0 on.
    pub(crate) threads: Vec<u32>,
}

impl ChunkRow {
    pub(crate) fn new(offset: FileOffset, payload_len: u64, header: &ChunkHeader) -> Self {
        let threads = steps(&header.threads());
        Self { offset, payload_len, summary: header.summary(), threads }
    }

    fn numbers(&self) -> [u64; COLUMNS] {
        let it = &self.summary;
        [
            self.offset.0,
            self.payload_len,
            u64::from(it.stream.as_u32()),
            u64::from(it.number),
            it.first_time.ns,
            it.last_time.ns,
            u64::from(it.sync_count),
            u64::from(it.access_count),
            u64::from(it.fragments),
        ]
    }
}

/// A frame of chunks: each column's differences from one chunk to the next, from 0 on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Directory {
    columns: Vec<Vec<i64>>,
    threads: Vec<Vec<u32>>,
}

impl Directory {
    pub(crate) fn of(rows: &[ChunkRow]) -> Self {
        let mut columns = vec![Vec::new(); COLUMNS];
        let mut last = [0_u64; COLUMNS];
        for row in rows {
            let numbers = row.numbers();
            for ((column, last), number) in columns.iter_mut().zip(last).zip(numbers) {
                column.push(number.wrapping_sub(last).cast_signed());
            }
            last = numbers;
        }
        Self { columns, threads: rows.iter().map(|row| row.threads.clone()).collect() }
    }

    pub(crate) fn rows(self) -> Result<Vec<ChunkRow>, MetaError> {
        let error = |reason: String| MetaError { what: "chunks of the index", reason };
        let count = self.threads.len();
        if self.columns.len() != COLUMNS || self.columns.iter().any(|it| it.len() != count) {
            return Err(error(format!("columns are not {COLUMNS} of {count} numbers")));
        }
        let mut last = [0_u64; COLUMNS];
        let mut rows = Vec::with_capacity(count);
        for (place, threads) in self.threads.into_iter().enumerate() {
            for (last, column) in last.iter_mut().zip(&self.columns) {
                *last = last.wrapping_add(column[place].cast_unsigned());
            }
            let [offset, payload_len, stream, number, first_time, last_time, counts @ ..] = last;
            let small = |number: u64| {
                u32::try_from(number).map_err(|_| error(format!("{number} has more than 32 bits")))
            };
            let summary = ChunkSummary {
                stream: StreamId::new(small(stream)?),
                number: small(number)?,
                first_time: Timestamp::from_ns(first_time),
                last_time: Timestamp::from_ns(last_time),
                sync_count: small(counts[0])?,
                access_count: small(counts[1])?,
                fragments: small(counts[2])?,
            };
            rows.push(ChunkRow { offset: FileOffset(offset), payload_len, summary, threads });
        }
        Ok(rows)
    }
}

/// What an index of version 1.0 has of a chunk, its fragments included.
impl From<ChunkRecord> for ChunkRow {
    fn from(record: ChunkRecord) -> Self {
        let mut threads: Vec<u32> = record.fragments.iter().map(|it| it.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        let mut last = 0;
        for thread in &mut threads {
            (*thread, last) = (*thread - last, *thread);
        }
        Self {
            offset: FileOffset(record.at),
            payload_len: record.payload_len,
            summary: ChunkSummary {
                stream: StreamId::new(record.stream),
                number: record.number,
                first_time: Timestamp::from_ns(record.first_time),
                last_time: Timestamp::from_ns(record.last_time),
                sync_count: record.sync_count,
                access_count: record.access_count,
                // A frame has at most 16 MiB.
                fragments: record.fragments.len() as u32,
            },
            threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Fragment;
    use crate::id::ThreadId;

    fn rows() -> Vec<ChunkRow> {
        let header = |number: u32| ChunkHeader {
            stream: StreamId::new(7 - number),
            number: number * 1000,
            first_time: Timestamp::from_ns(u64::MAX - u64::from(number)),
            last_time: Timestamp::from_ns(3),
            sync_count: 5,
            access_count: u32::MAX,
            fragments: [9, 2, 9]
                .map(|thread| Fragment {
                    thread: ThreadId::new(thread + number),
                    count: 0,
                    first_event: 0,
                    first_access: 0,
                })
                .to_vec(),
        };
        (0..3).map(|n| ChunkRow::new(FileOffset(u64::from(n) << 40), 64, &header(n))).collect()
    }

    #[test]
    fn rows_come_back_from_columns() {
        let rows = rows();
        assert_eq!(rows[1].threads, [3, 7]);
        assert_eq!(Directory::of(&rows).rows(), Ok(rows));
        assert_eq!(Directory::of(&[]).rows(), Ok(Vec::new()));
    }

    #[test]
    fn columns_that_are_not_as_long_as_each_other_are_refused() {
        let whole = Directory::of(&rows());
        for column in 0..COLUMNS {
            let mut short = whole.clone();
            short.columns[column].pop();
            assert!(short.rows().is_err(), "column {column}");
        }
        let mut few = whole.clone();
        few.columns.pop();
        assert!(few.rows().is_err());
        let mut large = whole;
        large.columns[2][0] = 1 << 40;
        assert!(large.rows().is_err());
    }
}

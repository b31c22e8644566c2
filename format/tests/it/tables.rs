//! Tables of any size, whose blocks lie in any order.

use std::io::Cursor;

use mmtrace_format::table::{StackNode, TABLE_LEN_MAX, TableEntry};
use mmtrace_format::writer::LogWriter;
use mmtrace_format::{CallSiteId, Log, StackId};

use crate::support::{info, open};

/// A log with these entries, each group in blocks of its own.
fn log_of(groups: impl IntoIterator<Item = Vec<TableEntry>>) -> Log {
    let mut writer = LogWriter::new(Cursor::new(Vec::new()), &info()).unwrap();
    for group in groups {
        writer.append_entries(group).unwrap();
    }
    open(writer.finish().unwrap().1.into_inner()).unwrap()
}

fn stack(number: u32) -> TableEntry {
    let node = StackNode {
        parent: StackId::new(number / 2),
        site: CallSiteId::new(number.wrapping_mul(2_654_435_761) >> 20),
    };
    TableEntry::Stack(StackId::new(number), node)
}

/// More than a million stacks of one program, the last of them first in the file: closing moves
/// late blocks into holes near the beginning.
#[test]
fn a_table_of_more_than_a_million_rows_is_read_in_any_order() {
    const COUNT: u32 = (1 << 20) + (1 << 17);
    const GROUP: u32 = 1 << 14;
    let group =
        |i: u32| (i * GROUP..(i + 1) * GROUP).map(stack).skip(usize::from(i == 0)).collect();
    let groups = COUNT / GROUP;
    let reversed = log_of((0..groups).rev().map(group));
    let mixed = log_of((0..groups).map(|i| group(i * 7 % groups)));
    for log in [reversed, mixed] {
        assert!(log.gaps().is_empty(), "{:?}", log.gaps());
        assert_eq!(log.tables().stack_count(), COUNT as usize);
        for number in [1, GROUP, COUNT / 2, COUNT - 1] {
            let node = log.tables().stack(StackId::new(number)).unwrap();
            assert_eq!(TableEntry::Stack(StackId::new(number), node), stack(number));
        }
    }
}

/// Each of these entries claims that a million others are missing before it.
#[test]
fn numbers_far_apart_cost_what_numbers_in_a_row_cost() {
    let limit = u32::try_from(TABLE_LEN_MAX).unwrap();
    let log = log_of([(1..256).map(|i| stack(limit / 256 * i)).collect()]);
    assert!(log.gaps().is_empty(), "{:?}", log.gaps());
    assert_eq!(log.tables().stack_count(), 256);
    let beyond = log_of([vec![stack(limit)]]);
    assert_eq!(beyond.gaps().len(), 1);
    assert!(beyond.gaps()[0].to_string().contains("beyond the limit"), "{:?}", beyond.gaps());
}

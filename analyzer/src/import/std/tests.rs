use ::std::convert::Infallible;
use ::std::fmt::Write as _;
use ::std::io::{self, Cursor, Read, Seek, SeekFrom};

use mmtrace_format::event::text::{Line, print_all};
use mmtrace_format::table::{CallSite, Tables};
use mmtrace_format::{Access, Event, StackId, ThreadId};

use super::super::Output;
use super::parse::BUFFER_LEN;
use super::{Imported, StdError, import};

#[derive(Default)]
struct List {
    tables: Tables,
    lines: Vec<Line>,
}

impl Output for List {
    type Error = Infallible;

    fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    fn event(&mut self, thread: ThreadId, event: Event) -> Result<(), Infallible> {
        self.lines.push(Line::Event(thread, event));
        Ok(())
    }

    fn access(&mut self, thread: ThreadId, access: Access) -> Result<(), Infallible> {
        self.lines.push(Line::Access(thread, access));
        Ok(())
    }
}

fn imported(text: &str) -> (Imported, List) {
    let mut list = List::default();
    let result = import(&mut Cursor::new(text), &mut list, &mut |_| {});
    (result.unwrap_or_else(|error| panic!("{error}")), list)
}

fn printed(text: &str) -> String {
    print_all(&imported(text).1.lines)
}

fn error(text: &str) -> String {
    let result = import(&mut Cursor::new(text), &mut List::default(), &mut |_| {});
    result.expect_err("the text is wrong").to_string()
}

#[test]
fn a_trace_becomes_a_log() {
    let text = "T0|fork(T1)|12\n\
                T0|w(V7)|1000\n\
                T1|acq(L3)|1010\n\
                T1|r(V7)|7\n\
                T1|rel(L3)|7\n\
                T0|join(T1)|3";
    assert_eq!(
        printed(text),
        "0ns t0 start parent=t0 os-thread=0\n\
         1ns t0 spawn child=t1 @st3\n\
         t0 write 0x10000000038 8 @st4\n\
         3ns t1 start parent=t0 os-thread=0\n\
         3ns t1 mutex-lock try=0 mutex=0x400000000018 seq=1 @st5\n\
         t1 read 0x10000000038 8 @st2\n\
         5ns t1 mutex-unlock mutex=0x400000000018 seq=2 @st2\n\
         6ns t1 end\n\
         6ns t0 join child=t1 @st1\n\
         6ns t0 end\n"
    );
    let (summary, _) = imported(text);
    assert_eq!(summary, Imported { lines: 6, accesses: 2, threads: 2, locations: 5 });
}

/// Reports list places by identifier: the order must be that of the locations.
#[test]
fn locations_are_numbered_in_ascending_order() {
    let (_, list) = imported("T0|w(V1)|900\nT0|w(V1)|20\nT0|w(V1)|100000\nT0|w(V1)|20\n");
    let line = |number| {
        let site = list.tables.frames(StackId::new(number)).next().unwrap();
        match list.tables.site(site) {
            Some(CallSite::Source { location, .. }) => location.line,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([line(1), line(2), line(3)], [20, 900, 100_000]);
}

#[test]
fn a_thread_that_is_forked_again_is_another_thread() {
    let text = "T0|fork(T1)|1\nT1|w(V1)|2\nT0|join(T1)|3\nT0|fork(T1)|1\nT1|w(V1)|2\n";
    assert_eq!(imported(text).0.threads, 3);
    let text = printed(text);
    assert!(text.contains("t1 write") && text.contains("t2 write"), "{text}");
}

#[test]
fn a_thread_that_nobody_forks_is_spawned_before_anything_else() {
    let text = printed("T5|w(V1)|1\nT7|w(V1)|2\n");
    assert!(text.starts_with("0ns t0 start parent=t0 os-thread=0\n0ns t0 spawn child=t1\n"));
}

#[test]
fn a_forked_thread_that_does_nothing_can_be_joined() {
    let text = printed("T0|fork(T1)|1\nT0|join(T1)|2\n");
    let expected = "2ns t1 start parent=t0 os-thread=0\n2ns t1 end\n2ns t0 join";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_join_of_a_thread_that_goes_on_or_is_joined_again_is_a_release_and_an_acquire() {
    for text in [
        "T0|fork(T1)|1\nT0|join(T1)|2\nT1|w(V1)|3\n",
        "T0|fork(T1)|1\nT0|join(T1)|2\nT0|join(T1)|2\n",
    ] {
        let text = printed(text);
        assert!(!text.contains("join"), "{text}");
        assert!(text.contains("t1 release-merge flags=0 object=0x700000000008 seq=1"), "{text}");
        assert!(text.contains("t0 acquire flags=0 object=0x700000000008 seq=2 @st2"), "{text}");
    }
}

#[test]
fn names_without_a_number_get_addresses_of_their_own() {
    let text = "main|w(a.b)|1\nmain|acq(a.b)|1\nmain|w(V01)|1\nmain|w(V1)|1\nmain|w(a.b)|1\n";
    let text = printed(text);
    let addresses: Vec<&str> = text.split_whitespace().filter(|word| word.contains("0x")).collect();
    assert_eq!(
        addresses,
        [
            "0x200000000000",
            "mutex=0x600000000008",
            "0x200000000010",
            "0x10000000008",
            "0x200000000000"
        ]
    );
}

#[test]
fn other_spellings_blocks_and_blank_lines_are_taken() {
    let text = printed(
        "T0|read(V1)|1\r\n\r\nT0|begin|2\nT0|write(V1)|3\nT0|end(B1)|4\n\
         T0|acquire(L1)|5\nT0|release(L1)|6\n",
    );
    for part in
        ["t0 read", "span-begin name=str1 span=1", "t0 write", "span-end span=1", "mutex-unlock"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(printed(""), "");
}

/// Lines must not depend on how the text falls into the buffer.
#[test]
fn a_text_longer_than_the_buffer_is_read_whole() {
    let lines = 60_000;
    let mut text = String::new();
    for n in 0..lines {
        writeln!(text, "T0|w(V{n})|{}", n % 10).unwrap();
    }
    assert!(text.len() > 3 * BUFFER_LEN);
    let (summary, list) = imported(&text);
    assert_eq!((summary.lines, summary.accesses), (lines, lines));
    assert_eq!(list.lines.len() as u64, lines + 2);
}

#[test]
fn errors_name_line_column_and_both_sides() {
    let location = "expected a location: a number below 4294967296";
    let cases = [
        ("T0|w(V1)|1\nT0", "line 2, column 1: expected a thread and `|`, found `T0`"),
        ("T0|w(V1)", "line 1, column 4: expected an operation and `|`, found `w(V1)`"),
        (
            "T0|x(V1)|1",
            "line 1, column 4: expected r, w, acq, rel, fork, join, begin or end, found `x(V1)|1`",
        ),
        ("T0|w|1", "line 1, column 5: expected `(` and an operand, found `|1`"),
        ("T0|w(V1|1", "line 1, column 8: expected `)` after the operand, found `|1`"),
        ("T0|w()|1", "line 1, column 6: expected a variable's name, found `)|1`"),
        ("|w(V1)|1", "line 1, column 1: expected a thread's name, found `|w(V1)|1`"),
        ("T0|w(V1)|", &format!("line 1, column 10: {location}, found the end of the line")),
        ("T0|w(V1)|-1", &format!("line 1, column 10: {location}, found `-1`")),
        ("T0|w(V1)|4294967296", &format!("line 1, column 10: {location}, found `4294967296`")),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    let endless = error(&"x".repeat(BUFFER_LEN + 1));
    assert!(endless.starts_with("line 1, column 1: expected a line of less than 256 KiB"));
}

/// A text that cannot be read is an error, not the end of the trace.
#[test]
fn a_failing_reader_is_an_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("worn out"))
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }
    let result = import(&mut Failing, &mut List::default(), &mut |_| {});
    assert!(matches!(result, Err(StdError::Read { line: 1, .. })));
}

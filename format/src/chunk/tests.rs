//! What goes into a chunk comes out of it; what was damaged does not.

use proptest::prelude::*;

use super::*;
use crate::access::{Access, AccessKind};
use crate::event::spec::SPECS;
use crate::event::{DETAIL_MAX, Event, EventKind, Slot};
use crate::id::StackId;
use crate::units::Address;

/// What a stream did, as a test states it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Event(Event),
    Access(Access),
}

fn event() -> impl Strategy<Value = Step> {
    let small = prop_oneof![0..4u64, any::<u64>()];
    let operands = (small.clone(), small.clone(), small.clone(), small);
    (0..SPECS.len() - 1, operands, 0..=DETAIL_MAX, 0..9u32, any::<u64>()).prop_map(
        |(row, (object, sequence, value, extra), detail, stack, ns)| {
            let spec = &SPECS[row];
            let mut event = Event::new(spec.kind);
            event.stack = StackId::new(stack);
            event.time = Timestamp::from_ns(ns);
            for (slot, number) in [
                (Slot::Detail, u64::from(detail)),
                (Slot::Object, object),
                (Slot::Sequence, sequence),
                (Slot::Value, value),
                (Slot::Extra, extra),
            ] {
                if spec.has(slot) {
                    event.set_slot(slot, number);
                }
            }
            if spec.kind == EventKind::Switch {
                event.value &= 0xffff;
            }
            Step::Event(event)
        },
    )
}

fn access() -> impl Strategy<Value = Step> {
    let address = prop_oneof![(0..64u64).prop_map(|i| 0x1000 + i * 8), any::<u64>()];
    let size = prop_oneof![Just(8u64), 0..20u64, any::<u64>()];
    (0..8u8, address, size, 0..5u32).prop_map(|(kind, address, size, stack)| {
        let (kind, stack) = (AccessKind::from_tag(kind), StackId::new(stack));
        Step::Access(Access { kind, address: Address(address), size, stack })
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sweep = (1..400u64, 1..5u64, any::<u32>()).prop_map(|(count, stride, base)| {
        let access = |i: u64| Access {
            kind: if i.is_multiple_of(2) { AccessKind::Read } else { AccessKind::Write },
            address: Address(u64::from(base) + i * stride * 8),
            size: 8,
            stack: StackId::new(40 + (i % 2) as u32),
        };
        (0..count).map(access).map(Step::Access).collect::<Vec<_>>()
    });
    let one = prop_oneof![event(), access()].prop_map(|step| vec![step]);
    prop::collection::vec(prop_oneof![8 => one, 1 => sweep], 0..60).prop_map(|runs| runs.concat())
}

fn open(steps: &[Step]) -> OpenChunk {
    let mut open = OpenChunk::new(CHUNK_WORDS_MAX);
    for step in steps {
        match step {
            Step::Event(event) => open.push_event(event),
            Step::Access(access) => open.push_access(access),
        }
    }
    open
}

fn sealed(steps: &[Step]) -> SealedChunk {
    let times = (Timestamp::from_ns(5), Timestamp::from_ns(5));
    let open = open(steps);
    let raw = open.as_raw(StreamId::new(3), 7, ThreadId::new(2), 4, times);
    let (sealed, problem) = seal(&raw, codec::LEVEL_RECORDING, &mut SealScratch::new());
    assert_eq!(problem, None);
    sealed
}

fn unsealed(bytes: &[u8]) -> Result<Vec<Step>, ChunkError> {
    let chunk = Chunk::parse(bytes)?;
    let (mut events, mut accesses) = (SyncColumns::default(), AccessColumns::default());
    let mut decoder = LaneDecoder::default();
    chunk.decode_sync(&mut decoder, &mut events)?;
    chunk.decode_accesses(&mut decoder, &mut accesses)?;
    let mut steps = Vec::new();
    let mut rest = accesses.iter();
    let mut done = 0;
    for (event, &end) in events.events.iter().zip(&events.access_ends) {
        steps.extend(rest.by_ref().take((end - done) as usize).map(Step::Access));
        steps.push(Step::Event(*event));
        done = end;
    }
    steps.extend(rest.map(Step::Access));
    Ok(steps)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_sealed_comes_back(steps in steps()) {
        let sealed = sealed(&steps);
        prop_assert_eq!(unsealed(&sealed.bytes).unwrap(), steps);
        let chunk = Chunk::parse(&sealed.bytes).unwrap();
        prop_assert_eq!(chunk.header(), &sealed.header);
    }

    #[test]
    fn words_that_nobody_wrote_are_sealed_up_to_the_damage(words in prop::collection::vec(any::<u64>(), 0..40)) {
        let raw = RawChunk {
            words: &words,
            stream: StreamId::new(0),
            number: 0,
            thread: ThreadId::MAIN,
            switch_count: 0,
            first_time: Timestamp::default(),
            last_time: Timestamp::default(),
        };
        let (sealed, _) = seal(&raw, codec::LEVEL_RECORDING, &mut SealScratch::new());
        prop_assert!(unsealed(&sealed.bytes).is_ok());
    }

    #[test]
    fn lanes_of_any_bytes_are_an_error_or_events(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..50u32) {
        let mut packed = Vec::new();
        codec::Compressor::new().compress(1, &bytes, &mut packed).unwrap();
        let header = ChunkHeader {
            stream: StreamId::new(0),
            number: 0,
            first_time: Timestamp::default(),
            last_time: Timestamp::default(),
            sync_count: count,
            access_count: count,
            fragments: Vec::new(),
        };
        let mut decoder = LaneDecoder::default();
        let mut columns = SyncColumns::default();
        if sync_lane::decode(&packed, bytes.len(), &header, &mut decoder, &mut columns).is_ok() {
            prop_assert_eq!(columns.events.len(), count as usize);
        }
        let mut columns = AccessColumns::default();
        if access_lane::decode(&packed, bytes.len(), count as usize, &mut decoder, &mut columns).is_ok() {
            prop_assert_eq!(columns.iter().count(), count as usize);
        }
    }
}

#[test]
fn every_flipped_byte_and_every_truncation_is_noticed() {
    let mut steps = Vec::new();
    for i in 0..if cfg!(miri) { 2 } else { 40 } {
        let lock = Event { object: 64, sequence: i + 1, ..Event::new(EventKind::MutexLock) };
        let (kind, stack) = (AccessKind::Write, StackId::new(1));
        let address = Address(0x2000 + i * 8);
        steps.push(Step::Event(lock));
        steps.push(Step::Access(Access { kind, address, size: 8, stack }));
    }
    let bytes = sealed(&steps).bytes;
    assert_eq!(unsealed(&bytes).unwrap(), steps);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(unsealed(&flipped).is_err(), "byte {at} bit {bit}");
        }
        assert!(unsealed(&bytes[..at]).is_err(), "cut at {at}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(unsealed(&longer).is_err());
}

#[test]
fn a_switch_begins_a_fragment() {
    let switch = |thread: u64, count| {
        Step::Event(Event { value: thread, extra: count, ..Event::new(EventKind::Switch) })
    };
    let end = Step::Event(Event::new(EventKind::End));
    let sealed = sealed(&[switch(5, 0), end, end, switch(6, 2), end]);
    let place = |thread, count, first_event| Fragment {
        thread: ThreadId::new(thread),
        count,
        first_event,
        first_access: 0,
    };
    assert_eq!(sealed.header.fragments, [place(5, 0, 0), place(6, 2, 3)]);
}

#[test]
#[cfg_attr(miri, ignore = "is about compression")]
fn a_sweep_over_an_array_costs_next_to_nothing() {
    let accesses = (0..30_000u64).map(|i| {
        let address = Address(0x7f00_0000 + i * 8);
        Step::Access(Access { kind: AccessKind::Read, address, size: 8, stack: StackId::new(1) })
    });
    let bytes = sealed(&accesses.collect::<Vec<_>>()).bytes;
    assert!(bytes.len() < 200, "{} bytes", bytes.len());
}

#[test]
fn a_kind_that_this_version_does_not_know_is_skipped_by_its_shape() {
    let mark = Event { value: 3, ..Event::new(EventKind::Mark) };
    let end = Event { time: Timestamp::from_ns(9), ..Event::new(EventKind::End) };
    let mut lane = Vec::new();
    sync_lane::SyncEncoder::default().encode(0, &[mark, end], &[0, 0], &mut lane);
    // The kind of the first event, and its row among the shapes: a version from the future.
    let future = 119;
    for byte in &mut lane {
        if *byte == EventKind::Mark.tag() {
            *byte = future;
        }
    }
    let mut packed = Vec::new();
    codec::Compressor::new().compress(1, &lane, &mut packed).unwrap();
    let header = ChunkHeader {
        stream: StreamId::new(0),
        number: 0,
        first_time: Timestamp::default(),
        last_time: Timestamp::default(),
        sync_count: 2,
        access_count: 0,
        fragments: Vec::new(),
    };
    let mut columns = SyncColumns::default();
    sync_lane::decode(&packed, lane.len(), &header, &mut LaneDecoder::default(), &mut columns)
        .unwrap();
    let unknown = Event { value: u64::from(future), ..Event::new(EventKind::Unknown) };
    assert_eq!(columns.events, [unknown, end]);
}

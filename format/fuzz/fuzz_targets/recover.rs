//! Whatever is recovered from any bytes is a closed log: it opens by its index, and every chunk of it
//! is whole.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mmtrace_format::Log;
use mmtrace_format::recover::recover_log;

#[path = "../mend.rs"]
mod mend;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    mend::mend(&mut bytes);
    let Ok(damaged) = Log::from_bytes("fuzz", bytes) else { return };
    let mut sink = Cursor::new(Vec::new());
    let recovered = recover_log(&damaged, &mut sink).expect("memory takes all writes");
    let log = Log::from_bytes("recovered", sink.into_inner()).expect("it was just written");
    assert_eq!(log.gaps(), recovered.gaps);
    assert_eq!(log.is_complete(), recovered.gaps.is_empty());
    for chunk in 0..log.chunks().len() {
        assert!(log.chunk(chunk).is_ok());
    }
});

//! Any bytes are a log or an error, opened by the index or by walking, and reading all of it never
//! panics. Checksums of the page and of blocks are made right first, or nothing would get past them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mmtrace_format::Log;
use mmtrace_format::verify::verify_log;

#[path = "../mend.rs"]
mod mend;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    mend::mend(&mut bytes);
    let Ok(log) = Log::from_bytes("fuzz", bytes) else { return };
    let mut unreadable = 0;
    for chunk in 0..log.chunks().len() {
        unreadable += usize::from(log.lines_by_fragment(chunk).is_err());
    }
    // The directory may claim threads that no chunk has: `verify` says so.
    let mut claimed_in_vain = 0;
    for &thread in log.threads().iter().take(100) {
        claimed_in_vain += usize::from(log.fragments_of(thread).is_empty());
    }
    for (module, _) in log.tables().modules() {
        let _ = log.symbols(module);
    }
    let verified = verify_log(&log);
    // What cannot be read is never called whole.
    assert!(!verified.is_whole() || (unreadable == 0 && claimed_in_vain == 0 && log.is_complete()));
});

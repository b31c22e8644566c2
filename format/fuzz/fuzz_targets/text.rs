//! Any text is a line or an error, and a line is printed as what is read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mmtrace_format::event::text::parse;

fuzz_target!(|text: &str| {
    if let Ok(line) = parse(text) {
        assert_eq!(parse(&line.to_string()), Ok(line));
    }
});

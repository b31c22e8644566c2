//! The log as its users see it: what goes in comes out, and damage is noticed.

#![expect(clippy::unwrap_used, reason = "tests panic where they fail, their helpers as well")]

mod corruption;
mod crash;
mod document;
mod golden;
mod roundtrip;
mod support;
mod tables;
mod versions;

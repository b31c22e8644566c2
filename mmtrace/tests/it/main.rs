//! The binary as its users meet it: transcripts of every command.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod analyze;
mod bad_input;
mod demo;
mod dump;
mod explain;
mod go;
mod help;
mod inspect;
mod output;
mod record;
mod transcript;
mod view;

//! The explorer: scrubbing the timelines of a log in a terminal, or by a script without one.
//!
//! What is on the screen is a [`model::Model`], plain data. [`update::update`] is the only thing
//! that changes it, by a [`message::Message`]; what it wants done outside comes back as
//! [`message::Effect`]s. [`view::draw`] draws the model and nothing else. Questions about the log
//! are answered by an [`engine::Engine`] from the level-of-detail [`index`] and from chunks decoded
//! on demand: behind a [`worker`] thread in a [`terminal`], at once in a [`script`].
//!
//! Everything that a person can do is one table, [`action::ACTIONS`]: the key map, the help screen,
//! the palette and scripts follow from it.

#![forbid(unsafe_code)]

pub mod action;
pub mod desk;
pub mod engine;
pub mod export;
pub mod feed;
pub mod index;
pub mod keymap;
pub mod line;
pub mod marks;
pub mod message;
pub mod model;
pub mod page;
pub mod query;
pub mod script;
pub mod terminal;
pub mod theme;
pub mod update;
pub mod view;
pub mod worker;

pub use terminal::{RunError, ViewOptions, run};

//! The explorer as a library: its index against brute force, its screens against goldens.

mod index;

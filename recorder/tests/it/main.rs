//! Real small programs, recorded and read back.

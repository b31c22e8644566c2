//! Whatever people pass to Go must still work.

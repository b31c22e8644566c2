//! The analyzer, through its public interface.

mod oracle;

//! Progress bars: on standard error, and only when that is a terminal.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mmtrace_analyzer::Progress;

/// Draws the phases of a long piece of work, one bar at a time, and leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Bars {
    /// The bar of the present phase; `None` if nothing is to be drawn.
    current: Option<Mutex<ProgressBar>>,
}

impl Bars {
    /// Bars on standard error, which draw nothing if it is not a terminal, or if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let is_shown = !quiet && std::io::stderr().is_terminal();
        Self { current: is_shown.then(|| Mutex::new(ProgressBar::hidden())) }
    }

    /// Exchanges the bar for the next phase's.
    fn show(&self, next: impl FnOnce() -> ProgressBar) {
        if let Some(current) = &self.current {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            current.finish_and_clear();
            *current = next();
        }
    }
}

impl Progress for Bars {
    fn phase(&self, name: &'static str, total: u64) {
        self.show(|| bar(name, total));
    }

    fn advance(&self, steps: u64) {
        if let Some(current) = &self.current {
            current.lock().unwrap_or_else(PoisonError::into_inner).inc(steps);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.show(ProgressBar::hidden);
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    let (bar, template) = if total > 0 {
        (ProgressBar::new(total), "{msg:>20} {wide_bar} {human_pos}/{human_len} {eta:>4}")
    } else {
        (ProgressBar::new_spinner(), "{msg:>20} {spinner} {human_pos}")
    };
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    bar.set_style(style);
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

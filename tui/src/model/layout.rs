//! Where the parts of the screen are.

use ratatui::layout::Rect;

use super::{Model, Pane};

/// From this width on the pane is beside the lanes.
const WIDE: u16 = 140;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The log in a line.
    pub title: Rect,
    /// The whole log.
    pub overview: Rect,
    /// Times.
    pub axis: Rect,
    /// Names of the rows.
    pub names: Rect,
    /// The rows.
    pub lanes: Rect,
    /// The strips.
    pub strips: Rect,
    /// The pane.
    pub pane: Rect,
    /// Keys and messages.
    pub status: Rect,
}

impl Layout {
    /// The parts, for what the model shows.
    pub fn new(model: &Model) -> Self {
        let (width, height) = model.size;
        let is_wide = width >= WIDE;
        let has_pane = model.pane != Pane::Hidden;
        let inner = height.saturating_sub(4);
        let strips = if model.strips { 3.min(inner / 4) } else { 0 };
        // Below the lanes the pane takes what few lanes leave over.
        let needed = u16::try_from(model.rows.len().max(3)).unwrap_or(u16::MAX);
        let left_over = inner.saturating_sub(strips).saturating_sub(needed);
        let (pane_width, pane_height) = match (has_pane, is_wide) {
            (false, _) => (0, 0),
            (true, true) => ((width * 2 / 5).min(90), inner),
            (true, false) => (width, (inner * 2 / 5).max(inner.min(3)).max(left_over)),
        };
        let left = if is_wide { width - pane_width } else { width };
        let rows = if is_wide { inner } else { inner - pane_height };
        let rows = rows.saturating_sub(strips);
        let names = (left / 4).clamp(left.min(10), 30);
        let body = |y: u16, height: u16| Rect::new(names, y, left - names, height);
        let pane = if is_wide {
            Rect::new(left, 3, pane_width, pane_height)
        } else {
            Rect::new(0, 3 + rows + strips, pane_width, pane_height)
        };
        let screen = Rect::new(0, 0, width, height);
        Self {
            title: Rect::new(0, 0, width, 1).intersection(screen),
            overview: Rect::new(names, 1, width - names, 1).intersection(screen),
            axis: body(2, 1).intersection(screen),
            names: Rect::new(0, 3, names, rows).intersection(screen),
            lanes: body(3, rows).intersection(screen),
            strips: body(3 + rows, strips).intersection(screen),
            pane: pane.intersection(screen),
            status: Rect::new(0, height.saturating_sub(1), width, 1).intersection(screen),
        }
    }

    /// Columns of time.
    pub fn columns(&self) -> u16 {
        self.lanes.width
    }
}

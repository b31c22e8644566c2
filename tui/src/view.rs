//! Drawing: the model onto a buffer, nothing else. Costs O(rows x columns).

mod bars;
mod overlay;
mod pane;
mod timeline;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::model::{Model, Overlay, Pane};

pub(crate) use overlay::help_height;
pub(crate) use pane::scroll_last;

/// Draws the model onto a buffer of its size.
pub fn draw(model: &Model, buffer: &mut Buffer) {
    let layout = model.layout();
    if model.size.0 < 20 || model.size.1 < 6 {
        put(buffer, buffer.area, 0, 0, "too small", Style::new());
        return;
    }
    bars::title(model, layout.title, buffer);
    bars::overview(model, &layout, buffer);
    timeline::axis(model, &layout, buffer);
    timeline::rows(model, &layout, buffer);
    timeline::strips(model, &layout, buffer);
    if model.pane != Pane::Hidden {
        pane::draw(model, layout.pane, buffer);
    }
    bars::status(model, layout.status, buffer);
    match &model.overlay {
        Some(Overlay::Help(scroll)) => overlay::help(model, *scroll, buffer),
        Some(Overlay::Palette { line, chosen }) => overlay::palette(model, line, *chosen, buffer),
        Some(Overlay::Prompt { action, line }) => {
            overlay::prompt(model, *action, line, layout.status, buffer);
        }
        None => {}
    }
}

/// The model as a buffer.
pub fn screen(model: &Model) -> Buffer {
    let (width, height) = model.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(model, &mut buffer);
    buffer
}

/// Puts text at a place of an area, cut where that ends. Gives the column after it.
fn put(buffer: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
    if y >= area.height || x >= area.width {
        return x;
    }
    let width = usize::from(area.width - x);
    let (end, _) = buffer.set_stringn(area.x + x, area.y + y, text, width, style);
    end - area.x
}

/// Puts a character into a cell.
fn put_char(buffer: &mut Buffer, x: u16, y: u16, character: char, style: Style) {
    if let Some(cell) = buffer.cell_mut((x, y)) {
        cell.set_char(character);
        cell.set_style(style);
    }
}

/// Text that is no longer than a width; what is cut off is said to be.
pub(crate) fn fit(text: &str, width: u16, ascii: bool) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mark = if ascii { '~' } else { '…' };
    let mut fitted: String = text.chars().take(width.saturating_sub(1)).collect();
    fitted.push(mark);
    fitted
}

/// Text in lines no longer than a width, broken at spaces; lines after the first are set in.
fn wrap(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width).max(8);
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let indent = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if !is_empty && line.chars().count() + 1 + len > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent + 2)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_with_a_mark_and_wrapped_at_spaces() {
        assert_eq!(fit("abcdef", 4, false), "abc…");
        assert_eq!(fit("abcdef", 4, true), "abc~");
        assert_eq!(fit("abcd", 4, true), "abcd");
        assert_eq!(wrap("  one two three four", 11), ["  one two", "    three", "    four"]);
        assert_eq!(wrap("", 10), [""]);
    }
}

//! The first and last lines, and the overview of the whole log.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{fit, put, put_char};
use crate::action::Action;
use crate::engine::{counted, duration, time};
use crate::model::{Layout, Model};
use crate::page::Marks;
use crate::theme::Role;

/// From empty to full.
const DENSITY: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const DENSITY_ASCII: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '%', '@'];

/// The character for a share in eighths.
pub(super) fn eighths(model: &Model, share: u8) -> char {
    let table = if model.theme.ascii { DENSITY_ASCII } else { DENSITY };
    table[usize::from(share.min(8))]
}

/// The log in a line, and what is wrong with it.
pub(super) fn title(model: &Model, area: Rect, buffer: &mut Buffer) {
    let style = model.theme.role(Role::Bar);
    buffer.set_style(area, style);
    let ascii = model.theme.ascii;
    let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let left = format!(" {}", model.facts.line());
    let mut right = Vec::new();
    if !model.facts.gaps.is_empty() {
        right.push(counted(model.facts.gaps.len() as u64, "gap"));
    }
    if let Some(findings) = &model.findings {
        right.push(counted(findings.cards.len() as u64, "finding"));
    }
    let place = right.len();
    if model.following {
        right.push("following".to_owned());
    }
    for (what, how_far) in &model.working {
        right.push(format!("{what} {how_far}"));
    }
    if let Some(search) = &model.search {
        let found = match &search.matches {
            Some(matches) => {
                let place = search.current.map_or(String::new(), |at| format!("{} of ", at + 1));
                format!("{place}{}", counted(matches.total, "match"))
            }
            None => format!("{}.. {}%", search.progress.0, search.progress.1),
        };
        // Who typed the query knows it: of a long one the beginning is enough.
        let others = [left.as_str(), &right.join("  "), &found].map(width).iter().sum::<u16>();
        let others = others.saturating_add(8);
        let room = area.width.saturating_sub(others).max(area.width / 5);
        right.insert(place, format!("/{} {found}", fit(&search.text, room, ascii)));
    }
    let right = fit(&right.join("  "), area.width * 2 / 3, ascii);
    let len = width(&right);
    let left = fit(&left, area.width - len - 2, ascii);
    put(buffer, area, 0, 0, &left, style);
    put(buffer, area, area.width - len - 1, 0, &right, style);
}

/// How busy the log is, what was found where, and which part of it is on the screen.
pub(super) fn overview(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    let area = layout.overview;
    let whole = model.facts.whole();
    let names = Rect::new(0, area.y, layout.names.width, 1);
    put(buffer, names, 1, 0, "log", model.theme.role(Role::Faint));
    let Some(page) = &model.page else { return };
    for (x, cell) in (0..area.width).zip(&page.overview) {
        let (from, to) = (whole.start_of(x, area.width), whole.start_of(x + 1, area.width));
        let is_shown = from < model.window.to_ns && to > model.window.from_ns;
        let mut marks = cell.marks;
        if model.notes.iter().any(|note| from <= note.time_ns && note.time_ns < to) {
            marks = marks.with(Marks::NOTE);
        }
        let mut glyph = eighths(model, cell.density);
        let mut style = model.theme.role(Role::Faint);
        if let Some((character, look)) = model.theme.marked(marks) {
            (glyph, style) = (character, look);
        } else if marks.has(Marks::GAP) {
            glyph = model.theme.pick('╳', '!');
            style = model.theme.role(Role::Warning);
        }
        let is_all = model.window == whole;
        if is_shown && !is_all {
            style = style.patch(model.theme.role(Role::Selected));
        }
        put_char(buffer, area.x + x, area.y, glyph, style);
    }
}

/// The keys that matter now, or what was said last.
pub(super) fn status(model: &Model, area: Rect, buffer: &mut Buffer) {
    let bar = model.theme.role(Role::Bar);
    buffer.set_style(area, bar);
    let message = model.message.as_ref().filter(|message| !message.is_empty());
    let needed = message.map_or(0, |message| message.chars().count() + 2);
    let now = time(model.cursor_ns);
    let long = format!("{now}  {} shown ", duration(model.window.len_ns()));
    // What was said last is read once, the times are there again with the next key.
    let fits = |right: &String| right.chars().count() + needed <= usize::from(area.width);
    let right = [long, format!("{now} ")].into_iter().find(fits).unwrap_or_default();
    let len = u16::try_from(right.chars().count()).unwrap_or(0).min(area.width / 2);
    put(buffer, area, area.width - len, 0, &right, bar);
    let room = Rect::new(area.x, area.y, area.width - len - 1, 1);
    if let Some(message) = message {
        let text = fit(&format!(" {message}"), room.width, model.theme.ascii);
        put(buffer, room, 0, 0, &text, bar);
        return;
    }
    let hints: [(Action, &str); 8] = [
        (Action::Help, "help"),
        (Action::ZoomIn, "zoom"),
        (Action::Findings, "findings"),
        (Action::NextFinding, "next"),
        (Action::Search, "search"),
        (Action::Cause, "who woke me"),
        (Action::FitAll, "all"),
        (Action::Quit, "quit"),
    ];
    let mut x = 1;
    for (action, what) in hints {
        let key = model.keymap.hint(action);
        let needed = key.chars().count() + what.chars().count() + 3;
        if usize::from(x) + needed > usize::from(room.width) {
            break;
        }
        x = put(buffer, room, x, 0, &key, bar.patch(key_style()));
        x = put(buffer, room, x + 1, 0, what, bar) + 2;
    }
}

/// A key on a bar: bold, so that a reversed bar stays readable.
fn key_style() -> Style {
    Style::new().add_modifier(ratatui::style::Modifier::BOLD)
}

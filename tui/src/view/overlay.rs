//! Help, palette and prompts, over everything else.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::{fit, put, put_char, wrap};
use crate::action::{ACTIONS, Action, Topic};
use crate::index::STATES;
use crate::line::{self, Line};
use crate::model::Model;
use crate::theme::Role;
use crate::update::palette_matches;

/// A box in the middle, empty inside its border. Gives the inside.
fn window(model: &Model, title: &str, width: u16, height: u16, buffer: &mut Buffer) -> Rect {
    let screen = buffer.area;
    let width = width.min(screen.width);
    let height = height.min(screen.height);
    let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
    let border = model.theme.role(Role::Faint);
    let theme = model.theme;
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let (left, right) = (x == area.left(), x + 1 == area.right());
            let (top, bottom) = (y == area.top(), y + 1 == area.bottom());
            let glyph = match (left || right, top || bottom) {
                (true, true) => match (left, top) {
                    (true, true) => theme.pick('╭', '+'),
                    (false, true) => theme.pick('╮', '+'),
                    (true, false) => theme.pick('╰', '+'),
                    (false, false) => theme.pick('╯', '+'),
                },
                (true, false) => theme.pick('│', '|'),
                (false, true) => theme.pick('─', '-'),
                (false, false) => ' ',
            };
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
            put_char(buffer, x, y, glyph, border);
        }
    }
    put(buffer, area, 2, 0, &format!(" {title} "), theme.role(Role::Heading));
    Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(2))
}

/// How wide the help screen is.
fn help_width(model: &Model) -> u16 {
    model.size.0.min(110)
}

/// How wide its first column is.
fn keys_width(model: &Model) -> u16 {
    21.min(help_width(model).saturating_sub(4) / 3)
}

/// The help screen's lines: from the table of actions, the key map and the table of states. What is
/// too long for a line goes on in the next one.
fn help_lines(model: &Model) -> Vec<(String, String, Role)> {
    let room = help_width(model).saturating_sub(4 + keys_width(model) + 1);
    let mut lines = Vec::new();
    for (mut keys, help, role) in help_entries(model) {
        for line in wrap(&help, room) {
            lines.push((std::mem::take(&mut keys), line, role));
        }
    }
    lines
}

fn help_entries(model: &Model) -> Vec<(String, String, Role)> {
    let mut lines = Vec::new();
    for topic in Topic::ALL {
        lines.push((topic.title().to_owned(), String::new(), Role::Heading));
        for spec in ACTIONS.iter().filter(|spec| spec.topic == topic) {
            let keys: Vec<String> =
                model.keymap.keys(spec.action).iter().map(ToString::to_string).collect();
            let keys = if keys.is_empty() { format!(":{}", spec.name) } else { keys.join(" ") };
            lines.push((keys, spec.help.to_owned(), Role::Text));
        }
        lines.push((String::new(), String::new(), Role::Text));
    }
    lines.push(("While typing".to_owned(), String::new(), Role::Heading));
    for (keys, help) in line::HELP {
        lines.push((keys.to_owned(), help.to_owned(), Role::Text));
    }
    lines.push((String::new(), String::new(), Role::Text));
    lines.push(("What lanes show".to_owned(), String::new(), Role::Heading));
    for row in STATES {
        let glyph = model.theme.glyph(row.state);
        lines.push((format!("{glyph}  {}", row.name), row.meaning.to_owned(), Role::Text));
    }
    for (glyph, meaning) in [
        ("* A H E", "Close up: accesses, atomics, heap, other events."),
        ("L U S R T M", "Close up: lock, unlock, send, receive, thread begins or ends, mark."),
    ] {
        lines.push((glyph.to_owned(), meaning.to_owned(), Role::Text));
    }
    lines
}

/// How many lines the help screen has.
pub(crate) fn help_height(model: &Model) -> u16 {
    u16::try_from(help_lines(model).len()).unwrap_or(u16::MAX)
}

/// All keys, by topic.
pub(super) fn help(model: &Model, scroll: u16, buffer: &mut Buffer) {
    let inside = window(model, "keys", help_width(model), model.size.1, buffer);
    let lines = help_lines(model);
    let keys_width = keys_width(model);
    for ((keys, help, role), y) in lines.iter().skip(usize::from(scroll)).zip(0..inside.height) {
        let style = match role {
            Role::Heading => model.theme.role(Role::Heading),
            _ => model.theme.role(Role::Key),
        };
        let width = if *role == Role::Heading { inside.width } else { keys_width };
        put(buffer, inside, 0, y, &fit(keys, width, model.theme.ascii), style);
        let room = inside.width.saturating_sub(keys_width + 1);
        let help = fit(help, room, model.theme.ascii);
        put(buffer, inside, keys_width + 1, y, &help, Style::new());
    }
    let left = lines.len().saturating_sub(usize::from(scroll) + usize::from(inside.height));
    if left > 0 {
        let text = format!(" {left} more below ");
        let x = inside.width.saturating_sub(u16::try_from(text.len()).unwrap_or(0));
        put(buffer, buffer.area, inside.x + x, inside.bottom(), &text, model.theme.role(Role::Key));
    }
}

/// The actions by name.
pub(super) fn palette(model: &Model, line: &Line, chosen: usize, buffer: &mut Buffer) {
    let (width, height) = model.size;
    let inside = window(model, "actions", width.min(90), (height * 2 / 3).max(8), buffer);
    let style = model.theme.role(Role::Key);
    typed(": ", line, Rect { height: 1, ..inside }, style, buffer);
    let matches = palette_matches(line.text());
    let room = usize::from(inside.height.saturating_sub(2));
    let skip = (chosen + 1).saturating_sub(room.max(1));
    let shown = matches.iter().enumerate().skip(skip).zip(2..inside.height);
    for ((number, spec), y) in shown {
        let style = if number == chosen { model.theme.role(Role::Selected) } else { Style::new() };
        let key = model.keymap.keys(spec.action).first().map(ToString::to_string);
        let key = key.unwrap_or_default();
        let line = format!("{:<18} {key:<7} {}", spec.name, spec.help);
        put(buffer, inside, 0, y, &fit(&line, inside.width, model.theme.ascii), style);
    }
    if matches.is_empty() {
        put(buffer, inside, 0, 2, "no action is called so", model.theme.role(Role::Faint));
    }
}

/// A question, in the last line.
pub(super) fn prompt(model: &Model, action: Action, line: &Line, area: Rect, buffer: &mut Buffer) {
    let what = action.spec().argument.unwrap_or_default();
    let style = model.theme.role(Role::Bar);
    buffer.set_style(area, style);
    let blank = " ".repeat(usize::from(area.width));
    put(buffer, area, 0, 0, &blank, style);
    let end = typed(&format!(" {} ({what}): ", action.spec().name), line, area, style, buffer) + 2;
    if line.text().is_empty() {
        let help = fit(action.spec().help, area.width.saturating_sub(end), model.theme.ascii);
        put(buffer, area, end, 0, &help, style);
    }
}

/// A line that is being typed, behind a label, with its cursor: `_` at the end, else reversed.
/// Gives the column behind it. Of a long one, the part around the cursor is shown.
fn typed(label: &str, line: &Line, area: Rect, style: Style, buffer: &mut Buffer) -> u16 {
    let (before, behind) = line.at_cursor();
    let cursor = label.chars().count() + before.chars().count();
    let width = usize::from(area.width);
    let skip = (cursor + 1).saturating_sub(width);
    let rest = if behind.is_empty() { "_" } else { behind };
    let shown = label.chars().chain(before.chars()).chain(rest.chars()).skip(skip).take(width);
    let shown: String = shown.collect();
    let end = put(buffer, area, 0, 0, &shown, style);
    if let (Some(under), Ok(x)) = (behind.chars().next(), u16::try_from(cursor - skip)) {
        let under = under.to_string();
        put(buffer, area, x, 0, &under, style.add_modifier(Modifier::REVERSED));
    }
    end
}

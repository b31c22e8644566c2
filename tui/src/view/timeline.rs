//! The lanes: a row each, a cell a column of time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::bars::eighths;
use super::{fit, put, put_char};
use crate::engine::{duration, size, time};
use crate::index::State;
use crate::model::{Layout, Model, Pane};
use crate::page::{Cell, Marks, Row, Window};
use crate::theme::Role;

/// Columns between two times on the axis, at least.
const AXIS_STEP: u16 = 14;

/// Times along the top.
pub(super) fn axis(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    let area = layout.axis;
    let style = model.theme.role(Role::Faint);
    let sort = format!(" by {}", model.sort.name());
    let names = Rect::new(0, area.y, layout.names.width, 1);
    put(buffer, names, 0, 0, &fit(&sort, names.width, model.theme.ascii), style);
    let columns = area.width.max(1);
    let step = nice_step(model.window, columns);
    let cursor = model.window.column_of(model.cursor_ns, columns);
    let first = model.window.from_ns.div_ceil(step);
    // Where the label before ends.
    let mut taken = 0;
    for number in first.. {
        let Some(time_ns) = number.checked_mul(step) else { break };
        let Some(x) = model.window.column_of(time_ns, columns) else { break };
        let tick = model.theme.pick('┊', '|');
        put_char(buffer, area.x + x, area.y, tick, style);
        let label = axis_label(time_ns, step);
        let len = u16::try_from(label.len()).unwrap_or(0);
        // The cursor's mark in the middle of a number would be another number: then it is on the
        // other side, and so is a number that has no room.
        let is_free = |from: u16| {
            from >= taken
                && from + len < columns
                && !cursor.is_some_and(|it| (from..from + len).contains(&it))
        };
        let places = [Some(x + 1), x.checked_sub(len)];
        let place = places.into_iter().flatten().find(|&from| is_free(from));
        taken = taken.max(x + 1);
        if let Some(from) = place {
            put(buffer, area, from, 0, &label, style);
            // A gap, so that two numbers are not read as one.
            taken = taken.max(from + len + 1);
        }
    }
    if let Some(x) = cursor {
        let here = model.theme.pick('▼', 'v');
        put_char(buffer, area.x + x, area.y, here, model.theme.role(Role::Key));
    }
}

/// A time of the axis, with as many digits as tell it from the next one.
fn axis_label(time_ns: u64, step_ns: u64) -> String {
    let short = duration(time_ns);
    if time_ns < step_ns
        || short != duration(time_ns - step_ns) && short != duration(time_ns + step_ns)
    {
        return short;
    }
    let text = time(time_ns);
    // Nine digits and the unit; those below the step are zeros.
    let zeros = usize::try_from(step_ns.ilog10()).unwrap_or(0);
    match text.strip_suffix('s').and_then(|digits| digits.get(..digits.len() - zeros)) {
        Some(digits) => format!("{digits}s"),
        None => text,
    }
}

/// The distance of times on the axis: 1, 2 or 5 with zeros.
fn nice_step(window: Window, columns: u16) -> u64 {
    let least = window.len_ns() * u64::from(AXIS_STEP) / u64::from(columns.max(1));
    let mut step = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            if step.saturating_mul(factor) >= least.max(1) {
                return step.saturating_mul(factor);
            }
        }
        let Some(next) = step.checked_mul(10) else { return u64::MAX };
        step = next;
    }
}

/// The rows on the screen.
pub(super) fn rows(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    if model.lanes.lanes.is_empty() {
        let reading = model.working.iter().find(|(what, _)| *what == "reading");
        let text = match reading {
            _ if model.facts.threads == 0 => {
                "nothing was recorded: the log has no events".to_owned()
            }
            Some((_, how_far)) => format!("reading the log.. {how_far}"),
            None => "reading the log..".to_owned(),
        };
        put(buffer, layout.lanes, 1, 0, &text, model.theme.role(Role::Faint));
        return;
    }
    let cursor = model.window.column_of(model.cursor_ns, layout.columns());
    let rows = model.rows.iter().enumerate().skip(model.top);
    for ((number, &row), y) in rows.zip(0..layout.lanes.height) {
        let is_selected = number == model.selected;
        name(model, layout, row, y, is_selected, buffer);
        let cells = cells_of(model, row);
        for x in 0..layout.columns() {
            let cell = cells.and_then(|cells| cells.get(usize::from(x)));
            let Some(&cell) = cell else { continue };
            let (glyph, style) = cell_look(model, row, x, cell);
            put_char(buffer, layout.lanes.x + x, layout.lanes.y + y, glyph, style);
        }
        if let Some(x) = cursor {
            let at = (layout.lanes.x + x, layout.lanes.y + y);
            if let Some(cell) = buffer.cell_mut(at) {
                let look = if is_selected {
                    Modifier::REVERSED | Modifier::BOLD
                } else {
                    Modifier::UNDERLINED
                };
                cell.set_style(Style::new().add_modifier(look));
                if cell.symbol() == " " && is_selected {
                    cell.set_char(model.theme.pick('│', '|'));
                }
            }
        }
    }
    arrows(model, layout, buffer);
}

/// A row's cells on the page, if that is of the present window.
fn cells_of(model: &Model, row: Row) -> Option<&[Cell]> {
    let page = model.page.as_ref()?;
    let request = &page.request;
    if request.window != model.window || request.columns != model.layout().columns() {
        return None;
    }
    let place = request.rows.iter().position(|&other| other == row)?;
    page.rows.get(place).map(Vec::as_slice)
}

fn name(model: &Model, layout: &Layout, row: Row, y: u16, is_selected: bool, buffer: &mut Buffer) {
    let ascii = model.theme.ascii;
    let (text, mut style) = match row {
        Row::Lane(lane) => {
            let pin = if model.pinned.contains(&lane) { model.theme.pick('•', '*') } else { ' ' };
            let facts = model.lanes.lanes.get(lane);
            let group = facts.and_then(|facts| model.lanes.groups.get(facts.group));
            let indent = if group.is_some_and(|group| group.lanes.len() > 1) { " " } else { "" };
            (format!("{pin}{indent}{}", model.lane_name(lane)), Style::new())
        }
        Row::Group(group) => {
            let facts = &model.lanes.groups[group];
            let is_folded = model.folded.contains(&group);
            let sign = match (is_folded, ascii) {
                (true, false) => '▸',
                (false, false) => '▾',
                (true, true) => '+',
                (false, true) => '-',
            };
            // The function that starts them, without its path and its closures.
            let label = facts.label.trim_end_matches("::{{closure}}");
            let label = label.rsplit("::").next().unwrap_or(label);
            let text = format!("{sign}{} x {label}", facts.lanes.len());
            (text, model.theme.role(Role::Heading))
        }
    };
    let has_match = model.matches().is_some_and(|matches| match row {
        Row::Lane(lane) => matches.hits.iter().take(4096).any(|hit| hit.lane == lane),
        Row::Group(_) => false,
    });
    if has_match {
        style = style.patch(model.theme.role(Role::Match));
    }
    let text = fit(&text, layout.names.width.saturating_sub(1), ascii);
    put(buffer, layout.names, 0, y, &text, style);
    if is_selected {
        let line = Rect::new(0, layout.names.y + y, layout.names.width.saturating_sub(1), 1);
        buffer.set_style(line, model.theme.role(Role::Selected));
    }
}

/// What a cell looks like: findings before events before states.
fn cell_look(model: &Model, row: Row, x: u16, cell: Cell) -> (char, Style) {
    let (glyph, style) = base_look(model, row, x, cell);
    let Some(shading) = &model.shading else { return (glyph, style) };
    let Row::Lane(lane) = row else { return (glyph, style) };
    let columns = model.layout().columns();
    let (from, to) = (model.window.start_of(x, columns), model.window.start_of(x + 1, columns));
    let is_before = match shading.past.get(&lane) {
        Some(&until) => to.saturating_sub(1) <= until,
        None => false,
    };
    let is_after = shading.future.get(&lane).is_some_and(|&since| from >= since);
    if is_before || is_after || !cell.state.is_alive() {
        (glyph, style)
    } else {
        (glyph, model.theme.concurrent(style))
    }
}

fn base_look(model: &Model, row: Row, x: u16, cell: Cell) -> (char, Style) {
    let columns = model.layout().columns();
    let (from, to) = (model.window.start_of(x, columns), model.window.start_of(x + 1, columns));
    let mut marks = cell.marks;
    let thread = match row {
        Row::Lane(lane) => model.lanes.lanes.get(lane).map(|facts| facts.thread),
        Row::Group(_) => None,
    };
    let is_noted = model.notes.iter().any(|note| {
        from <= note.time_ns
            && note.time_ns < to
            && (note.thread.is_none() || note.thread == thread)
    });
    if is_noted && matches!(row, Row::Lane(_)) {
        marks = marks.with(Marks::NOTE);
    }
    if let Some(look) = model.theme.marked(marks) {
        return look;
    }
    if let (Some(matches), Row::Lane(lane)) = (model.matches(), row) {
        // By time: the first match of this column.
        let first = matches.hits.partition_point(|hit| hit.time_ns < from);
        let within = matches.hits[first..].iter().take_while(|hit| hit.time_ns < to);
        if within.take(256).any(|hit| hit.lane == lane) {
            let glyph = cell
                .event
                .map_or(model.theme.glyph(cell.state), super::super::page::EventGlyph::glyph);
            let glyph = if glyph == ' ' { '/' } else { glyph };
            let style = model.theme.role(Role::Match).add_modifier(Modifier::UNDERLINED);
            return (glyph, style);
        }
    }
    let mut style = model.theme.state(cell.state);
    if let Some(event) = cell.event {
        return (event.glyph(), style.add_modifier(Modifier::BOLD));
    }
    let glyph = match row {
        Row::Group(group) if cell.alive > 0 => {
            let lanes = model.lanes.groups[group].lanes.len().max(1) as u64;
            let share = (u64::from(cell.alive) * 8).div_ceil(lanes);
            eighths(model, u8::try_from(share).unwrap_or(8))
        }
        _ => model.theme.glyph(cell.state),
    };
    // A cell in which much else happened is drawn faintly.
    if cell.share < 60 && cell.state != State::NotBorn {
        style = style.add_modifier(Modifier::DIM);
    }
    (glyph, style)
}

/// The hop along an edge that led here, and the edge that a race lacks.
fn arrows(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    if let Some(hop) = &model.hop {
        let ends = [hop.from, hop.to].map(|end| place(model, layout, end.lane, end.time_ns));
        if let [Some(from), Some(to)] = ends {
            arrow(model, layout, from, to, buffer);
        }
        return;
    }
    let is_shown = matches!(model.pane, Pane::Findings | Pane::Finding);
    let Some(card) = model.chosen_finding().filter(|_| is_shown && model.finding_visited) else {
        return;
    };
    if let ("race", [first, second]) = (card.kind.as_str(), card.places.as_slice()) {
        let ends = [first, second].map(|end| place(model, layout, end.lane, end.time_ns));
        if let [Some(from), Some(to)] = ends {
            missing_edge(model, layout, from, to, buffer);
        }
    }
}

/// A moment's column and row among the lanes, if it is on the screen.
fn place(model: &Model, layout: &Layout, lane: usize, time_ns: u64) -> Option<(u16, u16)> {
    let row = model.rows.iter().position(|&row| row == Row::Lane(lane))?;
    let y = u16::try_from(row.checked_sub(model.top)?).ok()?;
    let x = model.window.column_of(time_ns, layout.columns())?;
    (y < layout.lanes.height).then_some((x, y))
}

/// A line from lane to lane: down or up, then along.
fn arrow(model: &Model, layout: &Layout, from: (u16, u16), to: (u16, u16), buffer: &mut Buffer) {
    let style = model.theme.role(Role::Key);
    let mut put = |x: u16, y: u16, glyph: char| {
        put_char(buffer, layout.lanes.x + x, layout.lanes.y + y, glyph, style);
    };
    for y in from.1.min(to.1) + 1..from.1.max(to.1) {
        put(from.0, y, model.theme.pick('│', '|'));
    }
    for x in from.0.min(to.0)..=from.0.max(to.0) {
        put(x, to.1, model.theme.pick('─', '-'));
    }
    put(from.0, from.1, model.theme.pick('●', 'o'));
    put(
        to.0,
        to.1,
        match (from.0 == to.0, to.1 > from.1) {
            (false, _) => model.theme.pick('▸', '>'),
            (true, true) => model.theme.pick('▾', 'V'),
            (true, false) => model.theme.pick('▴', '^'),
        },
    );
}

/// A broken line between two accesses that nothing orders.
fn missing_edge(
    model: &Model,
    layout: &Layout,
    from: (u16, u16),
    to: (u16, u16),
    buffer: &mut Buffer,
) {
    let style = model.theme.role(Role::Alarm);
    let mut put = |x: u16, y: u16, glyph: char| {
        put_char(buffer, layout.lanes.x + x, layout.lanes.y + y, glyph, style);
    };
    for y in from.1.min(to.1) + 1..from.1.max(to.1) {
        put(from.0, y, model.theme.pick('┆', ':'));
    }
    let (left, right) = (from.0.min(to.0), from.0.max(to.0));
    for x in left + 1..right {
        put(x, to.1, model.theme.pick('┄', '~'));
    }
    for (x, y) in [from, to] {
        put(x, y, model.theme.pick('✗', 'X'));
    }
}

/// Lanes, heap and collections, on the lanes' clock.
pub(super) fn strips(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    let area = layout.strips;
    let Some(page) = model.page.as_ref().filter(|_| area.height > 0) else { return };
    let faint = model.theme.role(Role::Faint);
    let labels = Rect::new(0, area.y, layout.names.width, area.height);
    let most = page.strips.lanes.iter().copied().max().unwrap_or(0);
    strip(model, area, 0, page.strips.lanes.iter().map(|&lanes| Some(lanes)), most, buffer);
    put(buffer, labels, 1, 0, &format!("lanes, most {most}"), faint);
    let heap = &page.strips.heap;
    let most = heap.iter().flatten().copied().max();
    strip(model, area, 1, heap.iter().copied(), most.unwrap_or(0), buffer);
    let label = most.map_or("heap".to_owned(), |most| format!("heap, most {}", size(most)));
    put(
        buffer,
        labels,
        1,
        1,
        &fit(&label, labels.width.saturating_sub(2), model.theme.ascii),
        faint,
    );
    put(buffer, labels, 1, 2, "collections", faint);
    if area.height > 2 {
        for (x, &runs) in (0..area.width).zip(&page.strips.collecting) {
            if runs {
                let style = model.theme.state(State::Gc);
                put_char(buffer, area.x + x, area.y + 2, 'G', style);
            }
        }
    }
}

fn strip(
    model: &Model,
    area: Rect,
    y: u16,
    values: impl Iterator<Item = Option<u64>>,
    most: u64,
    buffer: &mut Buffer,
) {
    if y >= area.height {
        return;
    }
    for (x, value) in (0..area.width).zip(values) {
        let Some(value) = value else { continue };
        let share = u128::from(value) * 8 / u128::from(most.max(1));
        let share = if value > 0 { share.max(1) } else { 0 };
        let glyph = eighths(model, u8::try_from(share).unwrap_or(8));
        put_char(buffer, area.x + x, area.y + y, glyph, model.theme.role(Role::Faint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_axis_have_the_digits_that_tell_them_apart() {
        assert_eq!(axis_label(2_000_000_000, 500_000_000), "2.0 s");
        assert_eq!(axis_label(1_404_031_200, 200), "1.4040312s");
        assert_eq!(axis_label(1_404_031_400, 200), "1.4040314s");
        assert_eq!(axis_label(0, 1), "0 ns");
    }

    #[test]
    fn the_axis_has_round_times_that_are_far_enough_apart() {
        let window = Window { from_ns: 0, to_ns: 1_000_000 };
        assert_eq!(nice_step(window, 100), 200_000);
        assert_eq!(nice_step(Window { from_ns: 0, to_ns: 16 }, 100), 2);
        assert_eq!(nice_step(Window { from_ns: 0, to_ns: 1 }, 200), 1);
    }
}

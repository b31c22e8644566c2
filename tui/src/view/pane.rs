//! The pane: one thing in words.

use mmtrace_analyzer::finding::Severity;
use mmtrace_analyzer::report::HeapPoint;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::bars::eighths;
use super::{fit, put, put_char, wrap};
use crate::engine::findings::{Body, Card};
use crate::engine::{counted, duration, size};
use crate::model::{Model, Pane};
use crate::theme::Role;

/// A line with its look.
type Line = (String, Style);

/// How many lines the curve of a finding takes.
const CURVE_HEIGHT: u16 = 3;

/// How far the pane can be scrolled down.
pub(crate) fn scroll_last(model: &Model) -> u16 {
    let body = body(model.layout().pane);
    let (total, height) = match (model.pane, model.chosen_finding().map(|card| &card.body)) {
        (Pane::Finding, Some(Body::Race { sides, why })) => {
            let (rows, why) = race_lines(model, sides, why, body.width);
            (rows.len() + why.len(), body.height)
        }
        (Pane::Finding, Some(Body::Curve { lines, .. })) => {
            (plain(lines, body.width).len(), body.height.saturating_sub(CURVE_HEIGHT))
        }
        _ => (lines(model, body.width).len(), body.height),
    };
    u16::try_from(total.saturating_sub(usize::from(height))).unwrap_or(u16::MAX)
}

/// The part of the pane that its border and its title leave.
fn body(area: Rect) -> Rect {
    if area.x > 0 {
        let (width, height) = (area.width.saturating_sub(2), area.height.saturating_sub(1));
        Rect::new(area.x + 2, area.y + 1, width, height)
    } else {
        Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1))
    }
}

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let is_beside = area.x > 0;
    let border = model.theme.role(Role::Faint);
    let title = title(model);
    let heading = model.theme.role(Role::Heading);
    let body = body(area);
    if is_beside {
        for y in area.top()..area.bottom() {
            put_char(buffer, area.x, y, model.theme.pick('│', '|'), border);
        }
        put(buffer, area, 2, 0, &fit(&title, body.width, model.theme.ascii), heading);
    } else {
        let line: String = model.theme.pick('─', '-').to_string().repeat(usize::from(area.width));
        put(buffer, area, 0, 0, &line, border);
        let title = fit(&format!(" {title} "), area.width - 2, model.theme.ascii);
        put(buffer, area, 1, 0, &title, heading);
    }
    match (model.pane, model.chosen_finding().map(|card| &card.body)) {
        (Pane::Finding, Some(Body::Race { sides, why })) => race(model, sides, why, body, buffer),
        (Pane::Finding, Some(Body::Curve { points, lines })) => {
            let height = CURVE_HEIGHT.min(body.height);
            curve(model, points, Rect::new(body.x, body.y, body.width, height), buffer);
            let rest = Rect::new(body.x, body.y + height, body.width, body.height - height);
            lines_at(model, &plain(lines, rest.width), rest, buffer);
        }
        _ => lines_at(model, &lines(model, body.width), body, buffer),
    }
}

fn title(model: &Model) -> String {
    match model.pane {
        Pane::Details => match &model.details {
            Some(details) => details.title.clone(),
            None => "state at the cursor".to_owned(),
        },
        Pane::Findings => {
            let filter = match model.finding_filter.as_str() {
                "" => String::new(),
                filter => format!(" with `{filter}`"),
            };
            let count = model.listed_findings().len() as u64;
            match model.findings {
                Some(_) => format!("{}{filter}", counted(count, "finding")),
                None => "findings: the log is being analysed".to_owned(),
            }
        }
        Pane::Finding => match model.chosen_finding() {
            Some(card) => format!("{}: {}", card.kind, card.short_title()),
            None => "no finding".to_owned(),
        },
        Pane::Object => match &model.inspection {
            Some(it) => {
                format!("{:#x} at {}", it.address, crate::engine::time(it.time_ns))
            }
            None => "object".to_owned(),
        },
        Pane::Path => match &model.path {
            Some(path) => format!(
                "who held up {}: {} for {}",
                model.lane_name(path.lane),
                path.span.state.spec().name,
                duration(path.span.len_ns())
            ),
            None => "critical path".to_owned(),
        },
        Pane::Hidden => String::new(),
    }
}

fn lines(model: &Model, width: u16) -> Vec<Line> {
    match model.pane {
        Pane::Details => details(model, width),
        Pane::Findings => findings(model, width),
        Pane::Finding => match model.chosen_finding().map(|card| &card.body) {
            Some(Body::Text(lines)) => plain(lines, width),
            _ => Vec::new(),
        },
        Pane::Object => match model.inspection.as_ref().and_then(|it| it.lines.as_ref()) {
            Some(lines) => plain(lines, width),
            None => vec![("..".to_owned(), model.theme.role(Role::Faint))],
        },
        Pane::Path => path(model, width),
        Pane::Hidden => Vec::new(),
    }
}

fn plain(lines: &[String], width: u16) -> Vec<Line> {
    lines.iter().flat_map(|line| wrap(line, width)).map(|line| (line, Style::new())).collect()
}

fn lines_at(model: &Model, lines: &[Line], area: Rect, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    let last = lines.len().saturating_sub(height);
    let scroll = usize::from(model.pane_scroll).min(last);
    for ((text, style), y) in lines.iter().skip(scroll).zip(0..area.height) {
        put(buffer, area, 0, y, &fit(text, area.width, model.theme.ascii), *style);
    }
    more_below(model, lines.len().saturating_sub(scroll + height), area, buffer);
}

/// Says in the last line how many are below it. The text there ends before that.
fn more_below(model: &Model, below: usize, area: Rect, buffer: &mut Buffer) {
    let key = model.keymap.hint(crate::action::Action::ScrollDown);
    let text = format!("  {below} more: {key} ");
    let len = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    if below == 0 || len >= area.width || area.height == 0 {
        return;
    }
    let (x, y) = (area.width - len, area.height - 1);
    // Blank, or a word that is cut off here.
    let is_cut = buffer.cell((area.x + x, area.y + y)).is_some_and(|cell| cell.symbol() != " ");
    put(buffer, area, x, y, &text, model.theme.role(Role::Key));
    if is_cut {
        put_char(buffer, area.x + x, area.y + y, model.theme.pick('…', '~'), Style::new());
    }
}

fn details(model: &Model, width: u16) -> Vec<Line> {
    let Some(details) = &model.details else { return Vec::new() };
    let is_current = model.details_asked == Some(details.request);
    let heading = model.theme.role(if is_current { Role::Key } else { Role::Faint });
    let mut lines = Vec::new();
    for (name, text) in &details.sections {
        // A short section is one line: there may be few.
        let first = text.first().map_or("", String::as_str);
        let is_short = text.len() == 1 && name.len() + first.len() + 2 <= usize::from(width);
        if is_short {
            lines.push((format!("{name}: {first}"), Style::new()));
            continue;
        }
        lines.push((name.clone(), heading));
        for line in text {
            lines.extend(wrap(&format!("  {line}"), width).into_iter().map(|l| (l, Style::new())));
        }
    }
    lines
}

fn findings(model: &Model, width: u16) -> Vec<Line> {
    let listed = model.listed_findings();
    let mut lines = Vec::new();
    if model.findings.is_some() && listed.is_empty() {
        let text = match model.finding_filter.as_str() {
            "" => "nothing was found".to_owned(),
            filter => format!("no finding has `{filter}` in it"),
        };
        lines.push((text, Style::new()));
    }
    for (number, card) in &listed {
        let style = match card.severity {
            _ if *number == model.finding => model.theme.role(Role::Selected),
            Severity::Error => model.theme.role(Role::Alarm),
            Severity::Warning => model.theme.role(Role::Warning),
            Severity::Note => model.theme.role(Role::Faint),
        };
        let chosen = if *number == model.finding { '>' } else { ' ' };
        lines.push((format!("{chosen}{}", card_line(model, card, width)), style));
    }
    // The chosen one is to be seen, wherever it is.
    let at = listed.iter().position(|&(number, _)| number == model.finding).unwrap_or(0);
    let skip = at.saturating_sub(3).min(lines.len().saturating_sub(4));
    let mut shown: Vec<Line> = lines.into_iter().skip(skip).collect();
    if let Some(findings) = model.findings.as_ref().filter(|it| !it.gaps.is_empty()) {
        shown.push((counted(findings.gaps.len() as u64, "gap"), model.theme.role(Role::Warning)));
        shown.extend(findings.gaps.iter().take(16).map(|gap| (format!("  {gap}"), Style::new())));
    }
    shown
}

fn card_line(model: &Model, card: &Card, width: u16) -> String {
    let count = if card.count > 1 { format!("  {}x", card.count) } else { String::new() };
    let test = card.test.as_ref().map_or(String::new(), |test| format!("  {test}"));
    let line = format!("{:<11} {}{count}{test}", card.kind, card.short_title());
    fit(&line, width.saturating_sub(1), model.theme.ascii)
}

/// Both accesses side by side in lines of a width, and under them why nothing orders the two.
fn race_lines(
    model: &Model,
    sides: &[Vec<String>; 2],
    why: &str,
    width: u16,
) -> (Vec<(Line, Line)>, Vec<String>) {
    let half = (width.saturating_sub(3)) / 2;
    let look = |line: &str, is_first: bool| {
        if is_first {
            model.theme.role(Role::Alarm)
        } else if line.starts_with(' ') {
            Style::new()
        } else {
            model.theme.role(Role::Key)
        }
    };
    let wrapped = |side: &Vec<String>| -> Vec<Line> {
        let lines = side.iter().enumerate();
        lines
            .flat_map(|(number, line)| {
                let style = look(line, number == 0);
                wrap(line, half).into_iter().map(move |line| (line, style))
            })
            .collect()
    };
    let [left, right] = [wrapped(&sides[0]), wrapped(&sides[1])];
    let mut rows = Vec::new();
    let none = (String::new(), Style::new());
    for number in 0..left.len().max(right.len()) {
        let side = |lines: &[Line]| lines.get(number).cloned().unwrap_or_else(|| none.clone());
        rows.push((side(&left), side(&right)));
    }
    (rows, wrap(&format!("no edge: {why}"), width))
}

/// Both accesses of a race.
fn race(model: &Model, sides: &[Vec<String>; 2], why: &str, area: Rect, buffer: &mut Buffer) {
    let half = (area.width.saturating_sub(3)) / 2;
    let (rows, why) = race_lines(model, sides, why, area.width);
    let total = rows.len() + why.len();
    let last = total.saturating_sub(usize::from(area.height));
    let scroll = usize::from(model.pane_scroll).min(last);
    let separator = model.theme.pick('│', '|');
    for (number, y) in (scroll..total).zip(0..area.height) {
        if let Some(((left, left_style), (right, right_style))) = rows.get(number) {
            put(buffer, area, 0, y, &fit(left, half, model.theme.ascii), *left_style);
            let faint = model.theme.role(Role::Faint);
            put_char(buffer, area.x + half + 1, area.y + y, separator, faint);
            let right = fit(right, half, model.theme.ascii);
            put(buffer, area, half + 3, y, &right, *right_style);
        } else {
            let line = &why[number - rows.len()];
            put(buffer, area, 0, y, line, model.theme.role(Role::Warning));
        }
    }
    more_below(model, last - scroll, area, buffer);
}

/// Live bytes over time, as high as the area.
fn curve(model: &Model, points: &[HeapPoint], area: Rect, buffer: &mut Buffer) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let most = points.iter().map(|point| point.live_bytes).max().unwrap_or(0).max(1);
    let style = model.theme.state(crate::index::State::Running);
    let length = last.time_ns.saturating_sub(first.time_ns).max(1);
    let levels = u128::from(area.height) * 8;
    let columns = area.width.saturating_sub(12);
    for x in 0..columns {
        let time = u128::from(length) * u128::from(x) / u128::from(columns.max(1));
        let time = first.time_ns + u64::try_from(time).unwrap_or(0);
        let at = points.partition_point(|point| point.time_ns <= time).saturating_sub(1);
        let level = u128::from(points[at].live_bytes) * levels / u128::from(most);
        for y in 0..area.height {
            let below = u128::from(area.height - 1 - y) * 8;
            let share = u8::try_from(level.saturating_sub(below).min(8)).unwrap_or(8);
            let glyph = eighths(model, share);
            put_char(buffer, area.x + x, area.y + y, glyph, style);
        }
    }
    put(buffer, area, columns + 1, 0, &size(most), model.theme.role(Role::Faint));
}

/// A wait taken apart: a bar whose parts are as wide as they are long, and the parts in words.
fn path(model: &Model, width: u16) -> Vec<Line> {
    let Some(path) = &model.path else { return Vec::new() };
    let total = u128::from(path.span.len_ns().max(1));
    let mut bar = String::new();
    for segment in &path.segments {
        let end = u128::from(segment.to_ns - path.span.start_ns) * u128::from(width) / total;
        let end = usize::try_from(end).unwrap_or(0);
        while bar.chars().count() < end {
            bar.push(model.theme.glyph(segment.state));
        }
    }
    let mut lines = vec![(bar, model.theme.role(Role::Key))];
    lines.extend(plain(&path.lines, width));
    lines
}

//! Moving through time and lanes.

use crate::engine::{duration, time};
use crate::message::Effect;
use crate::model::{Model, Place};
use crate::page::{Row, Window};
use crate::query::parse_time;

/// The shortest window, in ns: nothing happens in less.
const WINDOW_MIN_NS: u64 = 16;

/// Slowest and fastest playback, in ns of the log a second.
const SPEED: std::ops::RangeInclusive<u64> = 1..=1 << 50;

/// The cursor goes to a time on the selected lane, and the window follows.
pub(super) fn set_cursor(model: &mut Model, time_ns: u64) {
    let whole = model.facts.whole();
    model.cursor_ns = time_ns.clamp(whole.from_ns, whole.to_ns - 1);
    model.cursor_index = None;
    show_cursor(model);
}

/// The window moves until the cursor is in it.
fn show_cursor(model: &mut Model) {
    let Window { from_ns, to_ns } = model.window;
    if model.cursor_ns < from_ns || model.cursor_ns >= to_ns {
        let half = model.window.len_ns() / 2;
        place_window(model, model.cursor_ns.saturating_sub(half), model.window.len_ns());
    }
}

/// A window of this length that begins about there, inside the log.
fn place_window(model: &mut Model, from_ns: u64, len_ns: u64) {
    let whole = model.facts.whole();
    let len_ns = len_ns.clamp(WINDOW_MIN_NS.min(whole.len_ns()), whole.len_ns());
    let from_ns = from_ns.clamp(whole.from_ns, whole.to_ns - len_ns);
    model.window = Window { from_ns, to_ns: from_ns + len_ns };
}

/// A jump: history knows where it came from.
pub(super) fn jump(model: &mut Model, lane: Option<usize>, time_ns: u64, index: Option<u64>) {
    if let Some(place) = model.place() {
        model.history.leave(place);
    }
    if let Some(lane) = lane {
        model.reveal_lane(lane);
    }
    set_cursor(model, time_ns);
    model.cursor_index = index;
}

fn restore(model: &mut Model, place: Place) {
    model.reveal_lane(place.lane);
    model.window = place.window;
    set_cursor(model, place.time_ns);
    model.cursor_index = place.index;
    model.hop = None;
}

pub(super) fn back(model: &mut Model) {
    let Some(here) = model.place() else { return };
    match model.history.back(here) {
        Some(place) => restore(model, place),
        None => model.say("this is where it began"),
    }
}

pub(super) fn forward(model: &mut Model) {
    let Some(here) = model.place() else { return };
    match model.history.forward(here) {
        Some(place) => restore(model, place),
        None => model.say("there is nothing to go forward to"),
    }
}

pub(super) fn columns(model: &mut Model, by: i64) {
    let columns = u64::from(model.layout().columns().max(1));
    let step = (model.window.len_ns() / columns).max(1);
    let to = if by < 0 {
        model.cursor_ns.saturating_sub(step)
    } else {
        model.cursor_ns.saturating_add(step)
    };
    let (from_ns, len) = (model.window.from_ns, model.window.len_ns());
    model.hop = None;
    let whole = model.facts.whole();
    let to = to.clamp(whole.from_ns, whole.to_ns - 1);
    // At the edge the window goes with the cursor, a column at a time.
    if to < from_ns {
        place_window(model, to, len);
    } else if to >= model.window.to_ns {
        place_window(model, (to + 1).saturating_sub(len), len);
    }
    set_cursor(model, to);
}

pub(super) fn edge(model: &mut Model, end: bool) {
    let Window { from_ns, to_ns } = model.window;
    set_cursor(model, if end { to_ns - 1 } else { from_ns });
}

pub(super) fn rows(model: &mut Model, by: isize) {
    let last = model.rows.len().saturating_sub(1);
    model.selected = match by {
        isize::MIN => 0,
        isize::MAX => last,
        by => model.selected.saturating_add_signed(by).min(last),
    };
    model.cursor_index = None;
    model.hop = None;
    model.keep_in_view();
}

pub(super) fn half_page(model: &mut Model, down: bool) {
    let half = isize::try_from(model.layout().lanes.height / 2).unwrap_or(1).max(1);
    rows(model, if down { half } else { -half });
}

/// To where the lane's state changes: known from the details of the stretch that the cursor is in.
pub(super) fn change(model: &mut Model, next: bool) {
    let Some(span) = model.details.as_ref().and_then(|details| details.span) else {
        model.say("the lane is not there at this time");
        return;
    };
    let to = if next {
        span.end_ns
    } else if model.cursor_ns > span.start_ns {
        span.start_ns
    } else {
        span.start_ns.saturating_sub(1)
    };
    set_cursor(model, to);
}

pub(super) fn goto(model: &mut Model, argument: &str) {
    match parse_time(argument) {
        Some(time_ns) => {
            jump(model, None, time_ns, None);
            if time_ns > model.facts.last_ns {
                model.say(format!("the log ends at {}", time(model.facts.last_ns)));
            }
        }
        None => model.say(format!("`{argument}` is no time: 1.5s, 20ms, 300us and 900ns are")),
    }
}

pub(super) fn goto_lane(model: &mut Model, argument: &str) {
    let number = argument.strip_prefix('t').unwrap_or(argument).parse().ok();
    let by_number = number.and_then(|n| model.lanes.of_thread(mmtrace_format::ThreadId::new(n)));
    let wanted = argument.to_lowercase();
    let lane = by_number.or_else(|| {
        let mut lanes = model.lanes.lanes.iter();
        lanes.position(|lane| lane.name.to_lowercase().contains(&wanted))
    });
    match lane {
        Some(lane) => {
            let time_ns = model.cursor_ns;
            jump(model, Some(lane), time_ns, None);
        }
        None => model.say(format!("no lane is called `{argument}`")),
    }
}

pub(super) fn zoom(model: &mut Model, inwards: bool) {
    let len = model.window.len_ns();
    let new = if inwards { len / 2 } else { len.saturating_mul(2) };
    let new = new.clamp(WINDOW_MIN_NS.min(len), model.facts.whole().len_ns());
    // What is under the cursor stays under it.
    let before = u128::from(model.cursor_ns.saturating_sub(model.window.from_ns));
    let before = before * u128::from(new) / u128::from(len.max(1));
    let before = u64::try_from(before).unwrap_or(0);
    place_window(model, model.cursor_ns.saturating_sub(before), new);
    if model.window.len_ns() == len {
        model.say(if inwards { "closer is nothing" } else { "this is all of the log" });
    }
}

pub(super) fn pan(model: &mut Model, right: bool) {
    let Window { from_ns, .. } = model.window;
    let (len, quarter) = (model.window.len_ns(), (model.window.len_ns() / 4).max(1));
    let to = if right { from_ns.saturating_add(quarter) } else { from_ns.saturating_sub(quarter) };
    let offset = model.cursor_ns.saturating_sub(from_ns);
    place_window(model, to, len);
    set_cursor(model, model.window.from_ns + offset.min(len - 1));
}

pub(super) fn fit(model: &mut Model, window: Window) {
    place_window(model, window.from_ns, window.len_ns());
    let Window { from_ns, to_ns } = model.window;
    if model.cursor_ns < from_ns || model.cursor_ns >= to_ns {
        set_cursor(model, model.cursor_ns.clamp(from_ns, to_ns - 1));
    }
}

pub(super) fn fit_lane(model: &mut Model) {
    let Some(facts) = model.lane().and_then(|lane| model.lanes.lanes.get(lane)) else { return };
    let to_ns = facts.ended_ns.min(model.facts.last_ns).saturating_add(1);
    let window = Window { from_ns: facts.born_ns, to_ns: to_ns.max(facts.born_ns + 1) };
    fit(model, window);
}

pub(super) fn fit_span(model: &mut Model) {
    let Some(span) = model.details.as_ref().and_then(|details| details.span) else {
        model.say("the lane is not there at this time");
        return;
    };
    let margin = span.len_ns() / 8;
    let from_ns = span.start_ns.saturating_sub(margin);
    fit(model, Window { from_ns, to_ns: span.end_ns.saturating_add(margin + 1) });
}

pub(super) fn fold_all(model: &mut Model) {
    let groups = || model.lanes.groups.iter().enumerate().filter(|(_, g)| g.lanes.len() > 1);
    let all = groups().map(|(number, _)| number).collect();
    model.folded = if model.folded == all { std::collections::BTreeSet::new() } else { all };
    let text = if model.folded.is_empty() { "all groups unfolded" } else { "all groups folded" };
    model.arrange();
    model.say(text);
}

pub(super) fn toggle_group(model: &mut Model) {
    let group = match model.row() {
        Some(Row::Group(group)) => group,
        Some(Row::Lane(lane)) => {
            let Some(group) = model.lanes.lanes.get(lane).map(|facts| facts.group) else { return };
            if model.lanes.groups[group].lanes.len() < 2 {
                model.say("no other lane was started at this one's place");
                return;
            }
            group
        }
        None => return,
    };
    if !model.folded.remove(&group) {
        model.folded.insert(group);
    }
    model.arrange();
}

pub(super) fn sort(model: &mut Model) {
    model.sort = model.sort.next();
    model.arrange();
    model.say(format!("lanes by {}", model.sort.name()));
}

pub(super) fn pin(model: &mut Model) {
    let Some(Row::Lane(lane)) = model.row() else {
        model.say("a lane can be pinned, a group cannot: unfold it");
        return;
    };
    if !model.pinned.remove(&lane) {
        model.pinned.insert(lane);
    }
    model.arrange();
}

pub(super) fn only(model: &mut Model) {
    if model.matches().is_none() {
        model.say("search first: then only the lanes with matches can be shown");
        return;
    }
    model.only_matches = !model.only_matches;
    model.arrange();
    let text = if model.only_matches { "only lanes with matches" } else { "all lanes" };
    model.say(text);
}

pub(super) fn strips(model: &mut Model) {
    model.strips = !model.strips;
    model.keep_in_view();
}

pub(super) fn play(model: &mut Model) {
    model.playing = match model.playing {
        Some(_) => None,
        None => Some(model.speed),
    };
    let rate = duration(model.speed);
    let text =
        if model.playing.is_some() { format!("playing {rate} a second") } else { "stopped".into() };
    model.say(text);
}

pub(super) fn speed(model: &mut Model, up: bool) {
    let new = if up { model.speed.saturating_mul(2) } else { model.speed / 2 };
    model.speed = new.clamp(*SPEED.start(), *SPEED.end());
    model.playing = model.playing.map(|_| model.speed);
    model.say(format!("{} a second", duration(model.speed)));
}

pub(super) fn follow(model: &mut Model, effects: &mut Vec<Effect>) {
    model.following = !model.following;
    if model.following {
        effects.push(Effect::Reload);
    }
    model.say(if model.following { "following the log as it grows" } else { "not following" });
}

pub(super) fn tick(model: &mut Model, ns: u64, effects: &mut Vec<Effect>) {
    if let Some(speed) = model.playing {
        let by = u128::from(speed) * u128::from(ns) / 1_000_000_000;
        let to = model.cursor_ns.saturating_add(u64::try_from(by).unwrap_or(u64::MAX).max(1));
        if to >= model.facts.last_ns {
            model.playing = None;
            model.say("the end of the log");
        }
        set_cursor(model, to);
    } else if model.following {
        effects.push(Effect::Reload);
    }
}

pub(super) fn click(model: &mut Model, x: u16, y: u16) {
    let layout = model.layout();
    let at = ratatui::layout::Position::new(x, y);
    if layout.overview.contains(at) {
        let whole = model.facts.whole();
        let time_ns = whole.start_of(x - layout.overview.x, layout.overview.width);
        jump(model, None, time_ns, None);
        return;
    }
    if layout.lanes.contains(at) || layout.names.contains(at) {
        let row = model.top + usize::from(y - layout.lanes.y);
        if row < model.rows.len() {
            model.selected = row;
            model.cursor_index = None;
        }
        if layout.lanes.contains(at) {
            set_cursor(model, model.window.start_of(x - layout.lanes.x, layout.columns()));
        }
    }
}

pub(super) fn wheel(model: &mut Model, x: u16, y: u16, up: bool) {
    let layout = model.layout();
    let at = ratatui::layout::Position::new(x, y);
    if layout.lanes.contains(at) {
        click(model, x, y);
        zoom(model, up);
    } else if layout.pane.contains(at) {
        super::panes::scroll(model, if up { -3 } else { 3 });
    } else if layout.names.contains(at) {
        rows(model, if up { -1 } else { 1 });
    }
}

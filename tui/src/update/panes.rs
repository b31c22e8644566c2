//! Panes, findings, searches and causality.

use super::navigate::{jump, toggle_group};
use crate::engine::counted;
use crate::message::{Effect, Request};
use crate::model::{Inspection, Model, Pane, Search};
use crate::query::{Query, parse_address};

pub(super) fn show(model: &mut Model, pane: Pane) {
    if model.pane != pane {
        model.pane_scroll = 0;
    }
    model.pane = pane;
    model.keep_in_view();
}

pub(super) fn toggle(model: &mut Model, pane: Pane) {
    let pane = if model.pane == pane { Pane::Hidden } else { pane };
    show(model, pane);
}

pub(super) fn scroll(model: &mut Model, by: i16) {
    // What was scrolled past the end of a longer text is not there to be scrolled back.
    let last = crate::view::scroll_last(model);
    model.pane_scroll = model.pane_scroll.min(last).saturating_add_signed(by).min(last);
}

pub(super) fn cancel(model: &mut Model, effects: &mut Vec<Effect>) {
    let is_searching = model.search.as_ref().is_some_and(|search| search.matches.is_none());
    if model.playing.take().is_some() {
        model.say("stopped");
    } else if is_searching {
        effects.push(Effect::Ask(Request::StopSearch));
        model.search = None;
        model.say("the search was stopped");
    } else if model.shading.take().is_some() || model.hop.take().is_some() {
        model.say("");
    } else if model.pane != Pane::Details {
        show(model, Pane::Details);
    } else if model.search.take().is_some() {
        model.only_matches = false;
        model.arrange();
    }
}

/// Enter: what the pane is about, else the group.
pub(super) fn enter(model: &mut Model) {
    match model.pane {
        Pane::Findings => go_to_finding(model),
        _ => toggle_group(model),
    }
}

pub(super) fn findings(model: &mut Model, effects: &mut Vec<Effect>) {
    ask_for_findings(model, effects);
    toggle(model, Pane::Findings);
}

/// A long log is analysed only when somebody wants to know.
fn ask_for_findings(model: &Model, effects: &mut Vec<Effect>) {
    if model.findings.is_none() {
        effects.push(Effect::Ask(Request::Findings));
    }
}

pub(super) fn finding(model: &mut Model, effects: &mut Vec<Effect>) {
    ask_for_findings(model, effects);
    if model.chosen_finding().is_some() {
        toggle(model, Pane::Finding);
    } else {
        model.say(without_findings(model));
    }
}

/// Why there is no finding to go to.
fn without_findings(model: &Model) -> &'static str {
    match &model.findings {
        None => "the log is being analysed: try again then",
        Some(findings) if findings.cards.is_empty() => "nothing was found",
        Some(_) => "no finding is listed: the filter lets none through",
    }
}

pub(super) fn filter(model: &mut Model, argument: &str, effects: &mut Vec<Effect>) {
    ask_for_findings(model, effects);
    argument.trim().clone_into(&mut model.finding_filter);
    if let Some(&(first, _)) = model.listed_findings().first() {
        model.finding = first;
    }
    show(model, Pane::Findings);
    let count = model.listed_findings().len() as u64;
    if model.findings.is_some() {
        model.say(format!("{} listed", counted(count, "finding")));
    }
}

pub(super) fn next_finding(model: &mut Model, next: bool, effects: &mut Vec<Effect>) {
    ask_for_findings(model, effects);
    if model.findings.is_none() {
        model.say(without_findings(model));
        return;
    }
    let listed: Vec<usize> = model.listed_findings().iter().map(|&(number, _)| number).collect();
    let place = listed.iter().position(|&number| number == model.finding);
    let is_shown = matches!(model.pane, Pane::Findings | Pane::Finding);
    let place = match place {
        // The first press goes to the chosen one.
        Some(place) if !model.finding_visited => place,
        Some(place) if next => (place + 1) % listed.len(),
        Some(place) => (place + listed.len() - 1) % listed.len(),
        None => 0,
    };
    let Some(&number) = listed.get(place) else {
        model.say(without_findings(model));
        return;
    };
    model.finding = number;
    model.pane_scroll = 0;
    if !is_shown {
        show(model, Pane::Findings);
    }
    go_to_finding(model);
}

fn go_to_finding(model: &mut Model) {
    model.finding_visited = true;
    let Some(card) = model.chosen_finding() else { return };
    match (card.places.first().copied(), card.moment_ns) {
        (Some(place), _) => jump(model, Some(place.lane), place.time_ns, Some(place.index)),
        (None, Some(time_ns)) => jump(model, None, time_ns, None),
        (None, None) => model.say("this finding has no place on the timeline"),
    }
}

pub(super) fn search(model: &mut Model, argument: &str, effects: &mut Vec<Effect>) {
    let text = argument.trim().to_owned();
    if text.is_empty() {
        model.search = None;
        model.only_matches = false;
        model.arrange();
        return;
    }
    match text.parse::<Query>() {
        Ok(query) => {
            if query.wants_findings() {
                ask_for_findings(model, effects);
            }
            model.search = Some(Search { text: text.clone(), ..Search::default() });
            effects.push(Effect::Ask(Request::Search { text, query }));
        }
        Err(error) => model.say(error.to_string()),
    }
}

pub(super) fn next_match(model: &mut Model, next: bool) {
    let Some(search) = &model.search else {
        model.say("search first");
        return;
    };
    let Some(matches) = &search.matches else {
        model.say("still searching");
        return;
    };
    let count = matches.hits.len();
    if count == 0 {
        model.say("nothing matches");
        return;
    }
    let place = match search.current {
        Some(current) if next => (current + 1) % count,
        Some(current) => (current + count - 1) % count,
        None => {
            let after = matches.hits.partition_point(|hit| hit.time_ns < model.cursor_ns);
            if next { after % count } else { (after + count - 1) % count }
        }
    };
    let hit = matches.hits[place];
    if let Some(search) = &mut model.search {
        search.current = Some(place);
    }
    jump(model, Some(hit.lane), hit.time_ns, Some(hit.index));
    model.say(format!("match {} of {count}", place + 1));
}

pub(super) fn inspect(model: &mut Model, argument: &str, effects: &mut Vec<Effect>) {
    let Some(address) = parse_address(argument.trim()) else {
        model.say(format!("`{argument}` is no address: 0x7f00 is"));
        return;
    };
    let time_ns = model.cursor_ns;
    model.inspection = Some(Inspection { address, time_ns, lines: None });
    show(model, Pane::Object);
    effects.push(Effect::Ask(Request::Object { address, time_ns }));
}

pub(super) fn hop(model: &mut Model, to_cause: bool, effects: &mut Vec<Effect>) {
    let Some(lane) = model.lane() else { return };
    let (time_ns, index) = (model.cursor_ns, model.cursor_index);
    effects.push(Effect::Ask(Request::Hop { lane, time_ns, index, to_cause }));
}

fn ask_for_causality(model: &mut Model, effects: &mut Vec<Effect>) {
    if !model.has_causality {
        effects.push(Effect::Ask(Request::Causality));
        model.say("the edges between lanes are being worked out");
    }
}

pub(super) fn shade(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.shading.take().is_some() {
        return;
    }
    ask_for_causality(model, effects);
    let Some(lane) = model.lane() else { return };
    let (time_ns, index) = (model.cursor_ns, model.cursor_index);
    effects.push(Effect::Ask(Request::Shade { lane, time_ns, index }));
}

pub(super) fn path(model: &mut Model, effects: &mut Vec<Effect>) {
    ask_for_causality(model, effects);
    let Some(lane) = model.lane() else { return };
    let time_ns = model.cursor_ns;
    effects.push(Effect::Ask(Request::Path { lane, time_ns }));
}

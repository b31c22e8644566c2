//! What answers do to the model.

use std::sync::Arc;

use super::navigate::jump;
use super::panes::show;
use crate::engine::causality::Hop;
use crate::engine::{counted, time};
use crate::message::{Answer, Effect, Request};
use crate::model::{Facts, Lanes, Link, Model, Pane, Search};
use crate::page::Window;
use crate::query::Query;

pub(super) fn answer(model: &mut Model, answer: Answer, effects: &mut Vec<Effect>) {
    match answer {
        Answer::Lanes { facts, lanes, has_states } => {
            take_lanes(model, facts, lanes, has_states, effects);
        }
        Answer::Page(page) => model.page = Some(page),
        Answer::Details(details) => model.details = Some(details),
        Answer::Object { address, time_ns, lines } => {
            let waiting = model.inspection.as_mut();
            if let Some(it) = waiting.filter(|it| (it.address, it.time_ns) == (address, time_ns)) {
                it.lines = Some(lines);
            }
        }
        Answer::Hop(hop, to_cause) => take_hop(model, hop, to_cause, effects),
        Answer::Shade(shading) => {
            model.say(match &shading {
                Some(shading) => {
                    let who = model.lane_name(shading.lane);
                    let when = time(shading.time_ns);
                    format!("shaded: concurrent with what {who} did at {when}")
                }
                None if !model.has_causality => "the edges between lanes are being worked out: \
                     try again then"
                    .to_owned(),
                None => "the lane has no event at or before this time".to_owned(),
            });
            model.shading = shading;
        }
        Answer::Path(Some(path)) => {
            model.path = Some(path);
            show(model, Pane::Path);
        }
        Answer::Path(None) => model.say("the lane does not wait at this time"),
        Answer::Searching(text, found, percent) => {
            if let Some(search) = model.search.as_mut().filter(|search| search.text == text) {
                search.progress = (found, percent);
            }
        }
        Answer::Matches(text, matches) => {
            if let Some(search) = model.search.as_mut().filter(|search| search.text == text) {
                *search = Search {
                    progress: (matches.total, 100),
                    text,
                    matches: Some(Arc::clone(&matches)),
                    current: None,
                };
                model.say(counted(matches.total, "match"));
                if model.only_matches {
                    // No lane at all would be an empty screen.
                    model.only_matches = !matches.hits.is_empty();
                    model.arrange();
                }
            }
        }
        Answer::Findings(findings) => {
            model.findings = Some(findings);
            (model.finding, model.finding_visited) = (0, false);
            // Their marks are to be drawn, and details may say more.
            (model.page_asked, model.details_asked) = (None, None);
        }
        Answer::Causality => {
            model.has_causality = true;
            model.details_asked = None;
        }
        Answer::Working(what, how_far) => {
            model.working.retain(|(other, _)| *other != what);
            if !how_far.is_empty() {
                model.working.push((what, how_far));
            }
        }
        Answer::Said(text) => model.say(text),
    }
}

fn take_lanes(
    model: &mut Model,
    facts: Facts,
    lanes: Arc<Lanes>,
    has_states: bool,
    effects: &mut Vec<Effect>,
) {
    let is_first = model.lanes.lanes.is_empty();
    // Presence alone does not tell groups.
    let has_groups = has_states && !model.has_states;
    let was_whole = model.window == model.facts.whole();
    let was_at_end = model.window.to_ns == model.facts.whole().to_ns;
    // What was worked out about what the log was before is not true of what it has grown to.
    if model.facts.records != facts.records {
        model.has_causality = false;
        (model.findings, model.finding, model.finding_visited) = (None, 0, false);
        if matches!(model.pane, Pane::Findings | Pane::Finding) {
            effects.push(Effect::Ask(Request::Findings));
        }
    }
    // Who looks at the end of a log that is followed wants to see its end.
    let is_at_end = model.following && was_at_end && model.cursor_ns + 1 >= model.window.to_ns;
    model.facts = facts;
    model.lanes = lanes;
    model.has_states = has_states;
    let whole = model.facts.whole();
    if is_first || was_whole {
        model.window = whole;
    } else if was_at_end && model.following {
        let len = model.window.len_ns();
        model.window = Window { from_ns: whole.to_ns.saturating_sub(len), to_ns: whole.to_ns };
    }
    if is_at_end {
        (model.cursor_ns, model.cursor_index) = (whole.to_ns - 1, None);
    }
    if is_first {
        model.cursor_ns = whole.from_ns + whole.len_ns() / 2;
    }
    if is_first || has_groups {
        model.fold_large_groups();
    }
    model.arrange();
    if is_first {
        // A lane has more to say than a group.
        let lane = model.rows.iter().position(|row| matches!(row, crate::page::Row::Lane(_)));
        model.selected = lane.unwrap_or(0);
    }
    (model.page_asked, model.details_asked) = (None, None);
    if has_states && let Some(link) = model.pending_link.take() {
        follow_link(model, link, effects);
    }
}

fn follow_link(model: &mut Model, link: Link, effects: &mut Vec<Effect>) {
    if let Some((from_ns, to_ns)) = link.window {
        super::navigate::fit(model, Window { from_ns, to_ns: to_ns.max(from_ns + 1) });
    }
    let lane = link.thread.and_then(|thread| model.lanes.of_thread(thread));
    jump(model, lane, link.time_ns.unwrap_or(model.cursor_ns), None);
    if let Some(text) = link.query
        && let Ok(query) = text.parse::<Query>()
    {
        model.search = Some(Search { text: text.clone(), ..Search::default() });
        effects.push(Effect::Ask(Request::Search { text, query }));
    }
}

fn take_hop(model: &mut Model, hop: Option<Hop>, to_cause: bool, effects: &mut Vec<Effect>) {
    let Some(hop) = hop else {
        // Who made a lane runnable is known at once, if the recorder saw it; the edges of a long log
        // are worked out only now.
        if !model.has_causality {
            effects.push(Effect::Ask(Request::Causality));
        }
        model.say(match (model.has_causality, to_cause) {
            (false, _) => "the edges between lanes are being worked out: try again then",
            (true, true) => "nothing of another lane happens right before this",
            (true, false) => "nothing of another lane happens right after this",
        });
        return;
    };
    let (here, there) = if to_cause { (hop.to, hop.from) } else { (hop.from, hop.to) };
    jump(model, Some(there.lane), there.time_ns, Some(there.index));
    let from = model.lane_name(here.lane).to_owned();
    let (name, meaning) = (hop.name(), hop.meaning());
    let way = if to_cause { "what let go on" } else { "what was let go on by" };
    model.hop = Some(hop);
    model.say(format!("{way} {from}: {name}, {meaning}"));
}

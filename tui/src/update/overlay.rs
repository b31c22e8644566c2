//! What lies over everything: help, palette, prompts.

use crate::action::{ACTIONS, Action, ActionSpec, Command};
use crate::keymap::{Chord, Key};
use crate::line::Line;
use crate::message::Effect;
use crate::model::{Model, Overlay};

/// Asks for what an action needs to know.
pub(super) fn ask(model: &mut Model, action: Action) {
    let line = match (action, &model.search) {
        (Action::Search, Some(search)) => Line::from(search.text.clone()),
        _ => Line::default(),
    };
    model.overlay = Some(Overlay::Prompt { action, line });
}

/// The actions that match what was typed into the palette: name first, then help.
pub(crate) fn palette_matches(text: &str) -> Vec<&'static ActionSpec> {
    let name = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let mut matches: Vec<(u8, &ActionSpec)> = ACTIONS
        .iter()
        .filter_map(|spec| {
            let rank = if spec.name.starts_with(&name) {
                0
            } else if spec.name.contains(&name) {
                1
            } else if spec.help.to_lowercase().contains(&text.trim().to_lowercase()) {
                2
            } else {
                return None;
            };
            Some((rank, spec))
        })
        .collect();
    matches.sort_by_key(|&(rank, _)| rank);
    matches.into_iter().map(|(_, spec)| spec).collect()
}

/// A key while something lies over everything.
pub(super) fn key(model: &mut Model, chord: Chord, effects: &mut Vec<Effect>) {
    let Some(overlay) = model.overlay.take() else { return };
    let is_cancel = chord.key == Key::Named("esc") || (chord.ctrl && chord.key == Key::Char('c'));
    if is_cancel {
        return;
    }
    match overlay {
        Overlay::Help(scroll) => help_key(model, scroll, chord),
        Overlay::Palette { line, chosen } => palette_key(model, line, chosen, chord, effects),
        Overlay::Prompt { action, mut line } => {
            if chord.key == Key::Named("enter") {
                // Nothing is an answer to a few questions; to the others it is none.
                let takes_nothing =
                    matches!(action, Action::Search | Action::FilterFindings | Action::Mark);
                if line.text().trim().is_empty() && !takes_nothing {
                    return;
                }
                let argument = Some(line.text().to_owned());
                super::command(model, Command { action, argument }, effects);
            } else {
                line.edit(chord);
                model.overlay = Some(Overlay::Prompt { action, line });
            }
        }
    }
}

/// The wheel scrolls help.
pub(super) fn wheel(model: &mut Model, up: bool) {
    if let Some(Overlay::Help(scroll)) = model.overlay {
        scroll_help(model, scroll.saturating_add_signed(if up { -3 } else { 3 }));
    }
}

fn scroll_help(model: &mut Model, scroll: u16) {
    let inside = model.size.1.saturating_sub(2);
    let last = crate::view::help_height(model).saturating_sub(inside);
    model.overlay = Some(Overlay::Help(scroll.min(last)));
}

fn help_key(model: &mut Model, scroll: u16, chord: Chord) {
    let page = model.size.1.saturating_sub(6).max(1);
    let scroll = match model.keymap.action(chord) {
        Some(Action::Help | Action::Quit) => return,
        Some(Action::Down | Action::ScrollDown) => scroll.saturating_add(1),
        Some(Action::Up | Action::ScrollUp) => scroll.saturating_sub(1),
        Some(Action::PageDown | Action::Play) => scroll.saturating_add(page),
        Some(Action::PageUp) => scroll.saturating_sub(page),
        Some(Action::FirstLane) => 0,
        Some(Action::LastLane) => u16::MAX,
        _ => scroll,
    };
    scroll_help(model, scroll);
}

fn palette_key(
    model: &mut Model,
    mut line: Line,
    mut chosen: usize,
    chord: Chord,
    effects: &mut Vec<Effect>,
) {
    let matches = palette_matches(line.text());
    match chord.key {
        Key::Named("enter") => {
            // A whole command is taken as it is; else the chosen action.
            let typed = line.text().parse::<Command>();
            match (typed, matches.get(chosen)) {
                (Ok(command), _) => super::command(model, command, effects),
                (Err(_), Some(spec)) => super::command(model, spec.action.into(), effects),
                (Err(error), None) => model.say(error.to_string()),
            }
            return;
        }
        Key::Named("down") => chosen = (chosen + 1).min(matches.len().saturating_sub(1)),
        Key::Named("up") => chosen = chosen.saturating_sub(1),
        Key::Named("tab") => {
            if let Some(spec) = matches.get(chosen) {
                line = format!("{} ", spec.name).into();
                chosen = 0;
            }
        }
        _ => {
            let before = line.text().len();
            line.edit(chord);
            // The cursor may go through the text without losing the choice.
            if line.text().len() != before {
                chosen = 0;
            }
        }
    }
    model.overlay = Some(Overlay::Palette { line, chosen });
}

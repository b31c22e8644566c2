//! Marks, links, exports, looks.

use std::path::PathBuf;

use super::navigate::jump;
use crate::message::{Effect, Request};
use crate::model::{Link, Model};

use crate::marks::Note;

pub(super) fn mark(model: &mut Model, text: String, effects: &mut Vec<Effect>) {
    let thread = model.lane().map(|lane| model.lanes.lanes[lane].thread);
    model.notes.push(Note { time_ns: model.cursor_ns, thread, text });
    model.notes.sort_by_key(|note| note.time_ns);
    effects.push(Effect::Ask(Request::SaveNotes(model.notes.clone())));
}

pub(super) fn unmark(model: &mut Model, effects: &mut Vec<Effect>) {
    match model.note_at_cursor() {
        Some(place) => {
            model.notes.remove(place);
            effects.push(Effect::Ask(Request::SaveNotes(model.notes.clone())));
        }
        None => model.say("there is no mark at the cursor"),
    }
}

pub(super) fn next_mark(model: &mut Model) {
    let after = model.notes.iter().find(|note| note.time_ns > model.cursor_ns);
    let Some(note) = after.or(model.notes.first()).cloned() else {
        let hint = model.keymap.hint(crate::action::Action::Mark);
        model.say(format!("there are no marks: {hint} makes one"));
        return;
    };
    let lane = note.thread.and_then(|thread| model.lanes.of_thread(thread));
    jump(model, lane, note.time_ns, None);
    model.say(note.text);
}

pub(super) fn copy_link(model: &mut Model, effects: &mut Vec<Effect>) {
    let link = Link {
        time_ns: Some(model.cursor_ns),
        window: Some((model.window.from_ns, model.window.to_ns)),
        thread: model.lane().map(|lane| model.lanes.lanes[lane].thread),
        query: model.search.as_ref().map(|search| search.text.clone()),
    };
    let text = format!("{}#{link}", model.facts.name);
    model.say(format!("copied {text}"));
    effects.push(Effect::Copy(text));
}

/// Whoever writes says so afterwards: it is not to be on the picture.
pub(super) fn export_screen(path: String, svg: bool, effects: &mut Vec<Effect>) {
    effects.push(Effect::WriteScreen { path: PathBuf::from(path), svg });
}

pub(super) fn export_perfetto(model: &mut Model, path: String, effects: &mut Vec<Effect>) {
    let rows = model.rows.to_vec();
    model.say(format!("writing {path}"));
    let (path, window) = (PathBuf::from(path), model.window);
    effects.push(Effect::Ask(Request::Perfetto { path, window, rows }));
}

pub(super) fn theme(model: &mut Model) {
    model.theme.palette = model.theme.palette.next();
    model.say(format!("colours: {}", model.theme.palette.name()));
}

pub(super) fn mouse(model: &mut Model, effects: &mut Vec<Effect>) {
    model.mouse = !model.mouse;
    effects.push(Effect::Mouse(model.mouse));
    model.say(if model.mouse {
        "the mouse selects lanes and times, its wheel zooms"
    } else {
        "the mouse selects text"
    });
}

//! What each message does to the model. No reading, no writing: what is to be done outside comes
//! back as [`Effect`]s.

mod answers;
mod keep;
mod navigate;
mod overlay;
mod panes;

use crate::action::{Action, Command};
use crate::engine::details::DetailsRequest;
use crate::line::Line;
use crate::message::{Effect, Message, Request};
use crate::model::{Model, Overlay, Pane};
use crate::page::{OVERVIEW_COLUMNS_MAX, PageRequest};

pub(crate) use overlay::palette_matches;

/// Changes the model by a message, and says what is to be done outside.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(chord) => {
            if model.overlay.is_some() {
                overlay::key(model, chord, &mut effects);
            } else if let Some(action) = model.keymap.action(chord) {
                command(model, action.into(), &mut effects);
            } else {
                let help = model.keymap.hint(Action::Help);
                model.say(format!("{chord} does nothing: {help} shows the keys"));
            }
        }
        Message::Command(asked) => command(model, asked, &mut effects),
        Message::Resize(width, height) => {
            model.size = (width, height);
            model.keep_in_view();
        }
        // What lies over everything is between the mouse and the lanes.
        Message::Click(..) if model.overlay.is_some() => {}
        Message::Wheel(_, _, up) if model.overlay.is_some() => overlay::wheel(model, up),
        Message::Click(x, y) => {
            model.message = None;
            navigate::click(model, x, y);
        }
        Message::Wheel(x, y, up) => {
            model.message = None;
            navigate::wheel(model, x, y, up);
        }
        Message::Tick(ns) => navigate::tick(model, ns, &mut effects),
        Message::Answer(answer) => answers::answer(model, answer, &mut effects),
    }
    refresh(model, &mut effects);
    effects
}

/// Does what a command says. Each action has one arm, here or in the module that it leads to.
fn command(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let Command { action, argument } = command;
    if action.spec().argument.is_some() && argument.is_none() {
        overlay::ask(model, action);
        return;
    }
    let argument = argument.unwrap_or_default();
    model.message = None;
    match action {
        Action::Left => navigate::columns(model, -1),
        Action::Right => navigate::columns(model, 1),
        Action::Down => navigate::rows(model, 1),
        Action::Up => navigate::rows(model, -1),
        Action::PageDown => navigate::half_page(model, true),
        Action::PageUp => navigate::half_page(model, false),
        Action::FirstLane => navigate::rows(model, isize::MIN),
        Action::LastLane => navigate::rows(model, isize::MAX),
        Action::NextChange => navigate::change(model, true),
        Action::PreviousChange => navigate::change(model, false),
        Action::LineStart => navigate::edge(model, false),
        Action::LineEnd => navigate::edge(model, true),
        Action::Goto => navigate::goto(model, &argument),
        Action::GotoLane => navigate::goto_lane(model, &argument),
        Action::ZoomIn => navigate::zoom(model, true),
        Action::ZoomOut => navigate::zoom(model, false),
        Action::PanLeft => navigate::pan(model, false),
        Action::PanRight => navigate::pan(model, true),
        Action::FitAll => navigate::fit(model, model.facts.whole()),
        Action::FitLane => navigate::fit_lane(model),
        Action::FitSpan => navigate::fit_span(model),
        Action::ToggleGroup => panes::enter(model),
        Action::FoldAll => navigate::fold_all(model),
        Action::Sort => navigate::sort(model),
        Action::Pin => navigate::pin(model),
        Action::Only => navigate::only(model),
        Action::Strips => navigate::strips(model),
        Action::Play => navigate::play(model),
        Action::Faster => navigate::speed(model, true),
        Action::Slower => navigate::speed(model, false),
        Action::Follow => navigate::follow(model, effects),
        Action::Cause => panes::hop(model, true, effects),
        Action::Effect => panes::hop(model, false, effects),
        Action::Back => navigate::back(model),
        Action::Forward => navigate::forward(model),
        Action::Shade => panes::shade(model, effects),
        Action::CriticalPath => panes::path(model, effects),
        Action::Details => panes::toggle(model, Pane::Details),
        Action::Findings => panes::findings(model, effects),
        Action::Finding => panes::finding(model, effects),
        Action::NextFinding => panes::next_finding(model, true, effects),
        Action::PreviousFinding => panes::next_finding(model, false, effects),
        Action::FilterFindings => panes::filter(model, &argument, effects),
        Action::Search => panes::search(model, &argument, effects),
        Action::NextMatch => panes::next_match(model, true),
        Action::PreviousMatch => panes::next_match(model, false),
        Action::Inspect => panes::inspect(model, &argument, effects),
        Action::ScrollDown => panes::scroll(model, 1),
        Action::ScrollUp => panes::scroll(model, -1),
        Action::Mark => keep::mark(model, argument, effects),
        Action::NextMark => keep::next_mark(model),
        Action::Unmark => keep::unmark(model, effects),
        Action::CopyLink => keep::copy_link(model, effects),
        Action::ExportText => keep::export_screen(argument, false, effects),
        Action::ExportSvg => keep::export_screen(argument, true, effects),
        Action::ExportPerfetto => keep::export_perfetto(model, argument, effects),
        Action::Help => model.overlay = Some(Overlay::Help(0)),
        Action::Palette => {
            model.overlay = Some(Overlay::Palette { line: Line::default(), chosen: 0 });
        }
        Action::Theme => keep::theme(model),
        Action::Ascii => model.theme.ascii = !model.theme.ascii,
        Action::Mouse => keep::mouse(model, effects),
        Action::Cancel => panes::cancel(model, effects),
        Action::Quit => model.quits = true,
    }
}

/// Asks for what the screen shows and the model does not have.
fn refresh(model: &mut Model, effects: &mut Vec<Effect>) {
    let layout = model.layout();
    let columns = layout.columns();
    let height = usize::from(layout.lanes.height);
    if columns == 0 || model.lanes.lanes.is_empty() {
        return;
    }
    let end = model.rows.len().min(model.top + height);
    let request = PageRequest {
        rows: model.rows.get(model.top..end).unwrap_or_default().to_vec(),
        window: model.window,
        columns,
        overview_columns: layout.overview.width.min(OVERVIEW_COLUMNS_MAX),
    };
    if model.page_asked.as_ref() != Some(&request) {
        model.page_asked = Some(request.clone());
        effects.push(Effect::Ask(Request::Page(request)));
    }
    let Some(lane) = model.lane() else { return };
    let (time_ns, index) = (model.cursor_ns, model.cursor_index);
    let request = DetailsRequest { lane, time_ns, index };
    if model.details_asked != Some(request) {
        model.details_asked = Some(request);
        effects.push(Effect::Ask(Request::Details(request)));
    }
}

//! An explanation as text for people.

use mmtrace_format::event::BlockReason;

use super::{Explanation, Moment, NearMiss, PathEdge, Relation, What};
use crate::context::order_of;
use crate::report::text::TextOptions;
use crate::report::text::page::{Page, Painted, Tone, paint};
use crate::rules::Rule;
use crate::symbol::{Place, Symbols, program_frame};

/// The explanation as text, with names from `symbols`.
pub fn render(
    explanation: &Explanation,
    symbols: &mut Symbols<'_>,
    options: &TextOptions<'_>,
) -> String {
    let mut page = Page::new(options.width, options.color).below(options.folder);
    let (first, second) = (explanation.first, explanation.second);
    let verdict = match &explanation.relation {
        Relation::Same => paint(Tone::Heading, format!("{} is one event", first.at)),
        Relation::Before(_) => {
            paint(Tone::Good, format!("{} happens before {}", first.at, second.at))
        }
        Relation::After(_) => {
            paint(Tone::Good, format!("{} happens before {}", second.at, first.at))
        }
        Relation::Concurrent(_) => {
            paint(Tone::Danger, format!("nothing orders {} and {}", first.at, second.at))
        }
    };
    page.line(0, [verdict]);
    moment(&mut page, 2, first, symbols);
    moment(&mut page, 2, second, symbols);
    page.blank();
    match &explanation.relation {
        Relation::Same => {}
        Relation::Before(path) | Relation::After(path) => write_path(&mut page, path, symbols),
        Relation::Concurrent(near) => {
            write_near(&mut page, near, [first, second], symbols);
            if explanation.has_gaps {
                page.paragraph(
                    2,
                    2,
                    &paint(Tone::Caution, "note  "),
                    "the log has gaps: what ordered the two may have been lost",
                );
            }
        }
    }
    page.into_text()
}

fn write_path(page: &mut Page, path: &[PathEdge], symbols: &mut Symbols<'_>) {
    page.line(0, [paint(Tone::Heading, "The path, edge by edge")]);
    for edge in path {
        let weak = if edge.weak { "  (weak: an accident of the implementation)" } else { "" };
        page.line(
            2,
            [
                paint(Tone::Heading, edge.rule.name()).padded(12),
                format!("{} -> {}", edge.from.at, edge.to.at).into(),
                paint(Tone::Caution, weak),
            ],
        );
        if edge.rule != Rule::ProgramOrder {
            moment(page, 14, edge.from, symbols);
            moment(page, 14, edge.to, symbols);
            page.line(14, [paint(Tone::Faint, edge.rule.row().meaning)]);
        }
    }
}

fn write_near(page: &mut Page, near: &NearMiss, sides: [Moment; 2], symbols: &mut Symbols<'_>) {
    page.line(0, [paint(Tone::Heading, "The nearest missing edge")]);
    let [first, second] = sides;
    let mut direction = |from: Moment, release: Option<Moment>, to: Moment, acquire| {
        page.line(2, [format!("from {} to {}", from.at, to.at).into()]);
        fact(page, &format!("{} next published by", from.at.thread), release, symbols);
        fact(page, &format!("{} had last taken by", to.at.thread), acquire, symbols);
    };
    direction(first, near.first_release, second, near.second_acquire);
    direction(second, near.second_release, first, near.first_acquire);
    fact(page, "the last thing known to both", near.common_past, symbols);
}

fn fact(page: &mut Page, what: &str, is: Option<Moment>, symbols: &mut Symbols<'_>) {
    let mut pieces: Vec<Painted> = vec![paint(Tone::Faint, what).padded(32)];
    match is {
        Some(is) => pieces.extend(in_pieces(is, symbols)),
        None => pieces.push("nothing in the log".into()),
    }
    page.line(4, pieces);
}

fn moment(page: &mut Page, indent: usize, moment: Moment, symbols: &mut Symbols<'_>) {
    page.line(indent, in_pieces(moment, symbols));
}

/// `t3#12 mutex-unlock of 0x10 in app::add at src/app.rs:9`.
fn in_pieces(moment: Moment, symbols: &mut Symbols<'_>) -> Vec<Painted> {
    let (what, stack) = match moment.what {
        What::Access(access) => (
            format!(" {} of {} bytes at {}", access.kind.name(), access.size, access.address),
            access.stack,
        ),
        What::Event(event) => {
            let mut what = format!(" {}", event.kind.spec().name);
            if let Some(order) = order_of(&event) {
                what = format!("{what} ({})", order.name());
            }
            if event.kind == mmtrace_format::EventKind::Block {
                what = format!("{what} ({})", BlockReason::from_detail(event.detail).name());
            }
            if event.object != 0 {
                what = format!("{what} of {:#x}", event.object);
            }
            (what, event.stack)
        }
    };
    let mut pieces = vec![paint(Tone::Heading, moment.at), what.into()];
    if let Some(frame) = program_frame(&symbols.stack(stack)) {
        if let Some(function) = &frame.function {
            pieces.push(format!(" in {function}").into());
        }
        pieces.extend([" at ".into(), paint(Tone::Place, Place(frame))]);
    }
    pieces
}

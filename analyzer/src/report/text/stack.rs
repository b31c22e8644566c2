//! A stack, innermost first, with the source line of the frame that matters.

use super::TextOptions;
use super::page::{Page, Tone, paint};
use crate::symbol::{Frame, Place, program_frame};

/// The most frames shown of a stack; the outermost says least, but the last is always shown.
const FRAMES_MAX: usize = 12;
/// More frames of the library than this at the inner end are left out, but for the outermost.
const LIBRARY_FRAMES_MAX: usize = 3;
/// Names longer than this do not widen the column for the others.
const NAME_MAX: usize = 44;

pub(super) fn write(page: &mut Page, options: &TextOptions<'_>, indent: usize, stack: &[Frame]) {
    if stack.is_empty() {
        page.line(indent, [paint(Tone::Faint, "no stack was recorded")]);
        return;
    }
    let matters = program_frame(stack);
    let hidden = hidden_library_frames(stack);
    if hidden > 0 {
        let text = format!("   {hidden} frames of the library");
        page.line(indent, [paint(Tone::Faint, text)]);
    }
    let shown = &stack[hidden..];
    let names: Vec<String> = shown.iter().map(ToString::to_string).collect();
    let width = names.iter().map(|name| name.chars().count().min(NAME_MAX)).max().unwrap_or(0);
    for (number, (frame, name)) in shown.iter().zip(&names).enumerate() {
        let is_last = number + 1 == shown.len();
        if number == FRAMES_MAX - 1 && !is_last {
            let left_out = shown.len() - FRAMES_MAX;
            page.line(indent, [paint(Tone::Faint, format!("   {left_out} frames more"))]);
        }
        if number >= FRAMES_MAX - 1 && !is_last {
            continue;
        }
        let number = number + hidden;
        let tone = if frame.is_library() { Tone::Faint } else { Tone::Plain };
        page.line(
            indent,
            [
                paint(Tone::Faint, format!("{number:>2} ")),
                paint(tone, name).padded(width),
                "  ".into(),
                paint(Tone::Place, place(frame).unwrap_or_default()),
                paint(Tone::Faint, if frame.inlined { " (inlined)" } else { "" }),
            ],
        );
        if matters.is_some_and(|matters| std::ptr::eq(matters, frame)) {
            excerpt(page, options, indent, frame);
        }
    }
}

/// How many frames at the inner end are left out: a long way through the language's own library,
/// up to the call that led into it.
fn hidden_library_frames(stack: &[Frame]) -> usize {
    let library = stack.iter().take_while(|frame| frame.is_library()).count();
    if library > LIBRARY_FRAMES_MAX && library < stack.len() { library - 1 } else { 0 }
}

/// The place, where the name is not the place already.
fn place(frame: &Frame) -> Option<String> {
    frame.function.as_ref()?;
    frame.file.as_ref()?;
    let column = frame.column.map(|column| format!(":{column}")).unwrap_or_default();
    Some(format!("{}{column}", Place(frame)))
}

fn excerpt(page: &mut Page, options: &TextOptions<'_>, indent: usize, frame: &Frame) {
    let (Some(source), Some(file), Some(line)) = (options.source, &frame.file, frame.line) else {
        return;
    };
    if let Some(text) = source(file, line) {
        let number = paint(Tone::Faint, format!("   {line:>5} | "));
        page.line(indent, [number, text.trim_end().into()]);
    }
}

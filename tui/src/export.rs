//! Screens and windows as files: text, pictures, JSON, Perfetto traces.

mod perfetto;
mod svg;

use std::path::Path;

use ratatui::buffer::Buffer;
use serde_json::json;

use crate::engine::time;
use crate::model::Model;
use crate::page::Row;
use crate::theme::Theme;

pub use perfetto::perfetto;
pub use svg::svg;

/// The screen's characters, a line each, without spaces at the ends.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = (buffer.area.left()..buffer.area.right())
            .filter_map(|x| buffer.cell((x, y)).map(ratatui::buffer::Cell::symbol))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Writes a screen to a file, and says whether it could.
pub fn write_screen(buffer: &Buffer, theme: Theme, path: &Path, as_svg: bool) -> String {
    let content = if as_svg { svg(buffer, theme) } else { text(buffer) };
    let name = path.display();
    match std::fs::write(path, content) {
        Ok(()) => format!("written to {name}"),
        Err(error) => format!("{name} cannot be written: {error}"),
    }
}

/// What is on the screen, for programs: where it is, and each row's states and marks.
pub fn json(model: &Model, buffer: &Buffer) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = model
        .page
        .iter()
        .flat_map(|page| page.request.rows.iter().zip(&page.rows))
        .map(|(row, cells)| {
            let (kind, name) = match row {
                Row::Lane(lane) => ("lane", model.lane_name(*lane).to_owned()),
                Row::Group(group) => ("group", model.lanes.groups[*group].label.clone()),
            };
            let states: Vec<&str> = cells.iter().map(|cell| cell.state.spec().name).collect();
            let marks: Vec<u8> = cells.iter().map(|cell| cell.marks.0).collect();
            json!({ "kind": kind, "name": name, "states": states, "marks": marks })
        })
        .collect();
    json!({
        "schema": { "name": "mmtrace-screen", "version": 1 },
        "log": model.facts.name,
        "size": [model.size.0, model.size.1],
        "window_ns": [model.window.from_ns, model.window.to_ns],
        "cursor_ns": model.cursor_ns,
        "cursor": time(model.cursor_ns),
        "lane": model.lane().map(|lane| model.lane_name(lane)),
        "message": model.message,
        "rows": rows,
        "screen": text(buffer).lines().collect::<Vec<_>>(),
    })
}

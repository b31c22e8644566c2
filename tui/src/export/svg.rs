//! A screen as a picture that browsers show.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::theme::{Palette, Theme};

/// Pixels of a cell.
const CELL: (u32, u32) = (8, 17);

/// How a run of cells looks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    front: u32,
    back: u32,
    modifier: Modifier,
}

/// The screen as a picture.
pub fn svg(buffer: &Buffer, theme: Theme) -> String {
    let is_light = theme.palette == Palette::Light;
    let (front, back) =
        if is_light { (0x0020_242c, 0x00ff_ffff) } else { (0x00d8_dee9, 0x0015_181e) };
    let (width, height) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">",
        width * CELL.0,
        height * CELL.1
    );
    let _ = writeln!(svg, "<rect width=\"100%\" height=\"100%\" fill=\"#{back:06x}\"/>");
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let look = |x: u16| buffer.cell((x, y)).map(|cell| look(cell, front, back));
            let begin = x;
            let run = look(begin);
            let mut text = String::new();
            while x < buffer.area.width && look(x) == run {
                text.push_str(buffer.cell((x, y)).map_or(" ", ratatui::buffer::Cell::symbol));
                x += 1;
            }
            if let Some(run) = run {
                put(&mut svg, (begin, y), x - begin, &text, run, back);
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn look(cell: &ratatui::buffer::Cell, front: u32, back: u32) -> Look {
    let (mut fg, mut bg) = (rgb(cell.fg, front), rgb(cell.bg, back));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut fg, &mut bg);
    }
    let modifier = cell.modifier & (Modifier::BOLD | Modifier::DIM | Modifier::UNDERLINED);
    Look { front: fg, back: bg, modifier }
}

fn put(svg: &mut String, at: (u16, u16), len: u16, text: &str, look: Look, back: u32) {
    let (x, y) = (u32::from(at.0) * CELL.0, u32::from(at.1) * CELL.1);
    let width = u32::from(len) * CELL.0;
    if look.back != back {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"#{:06x}\"/>",
            CELL.1, look.back
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let mut style = String::new();
    if look.modifier.contains(Modifier::BOLD) {
        style.push_str(" font-weight=\"bold\"");
    }
    if look.modifier.contains(Modifier::DIM) {
        style.push_str(" opacity=\"0.6\"");
    }
    if look.modifier.contains(Modifier::UNDERLINED) {
        style.push_str(" text-decoration=\"underline\"");
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" xml:space=\"preserve\" \
         fill=\"#{:06x}\"{style}>{}</text>",
        y + 13,
        look.front,
        escape(text)
    );
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A terminal's colour as a picture has it.
fn rgb(color: Color, default: u32) -> u32 {
    match color {
        Color::Rgb(red, green, blue) => {
            u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue)
        }
        Color::Black => 0x0000_0000,
        Color::Red => 0x00cd_3131,
        Color::Green => 0x000d_bc79,
        Color::Yellow => 0x00e5_e510,
        Color::Blue => 0x0024_72c8,
        Color::Magenta => 0x00bc_3fbc,
        Color::Cyan => 0x0011_a8cd,
        Color::Gray => 0x00c0_c0c0,
        Color::DarkGray => 0x0080_8080,
        Color::LightRed => 0x00f1_4c4c,
        Color::LightGreen => 0x0023_d18b,
        Color::LightYellow => 0x00f5_f543,
        Color::LightBlue => 0x003b_8eea,
        Color::LightMagenta => 0x00d6_70d6,
        Color::LightCyan => 0x0029_b8db,
        Color::White => 0x00ff_ffff,
        Color::Reset | Color::Indexed(_) => default,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn runs_of_one_look_are_one_text_and_markup_is_escaped() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, "a<b", Style::new());
        buffer.set_string(3, 0, "&c", Style::new().fg(Color::Red));
        let picture = svg(&buffer, Theme::default());
        assert!(picture.contains(">a&lt;b</text>"), "{picture}");
        assert!(picture.contains("fill=\"#cd3131\">&amp;c</text>"), "{picture}");
        assert_eq!(picture.matches("<text").count(), 2);
    }
}

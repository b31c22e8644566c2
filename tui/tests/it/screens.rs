//! Scripted screens. Every action of the table is in at least one of the scripts.

use std::collections::BTreeSet;
use std::sync::Arc;

use mmtrace_format::Log;
use mmtrace_tui::action::ACTIONS;
use mmtrace_tui::export::{json, svg, text};
use mmtrace_tui::keymap::Keymap;
use mmtrace_tui::message::Message;
use mmtrace_tui::model::Overlay;
use mmtrace_tui::script::{ScriptOptions, Shot, run_script};
use mmtrace_tui::theme::{Palette, Theme};
use mmtrace_tui::update::update;
use ratatui::style::Modifier;

use crate::support::small_program;

/// Name and script of each golden.
const SCRIPTS: [(&str, &str); 7] = [
    (
        "moving",
        "screen opened\nfirst-lane\ndown\ndown\nup\nright\nright\nleft\nscreen moved\n\
         page-down\npage-up\nlast-lane\nline-start\nnext-change\nnext-change\nprevious-change\n\
         screen changes\nline-end\ngoto 400ns\ngoto-lane t2\nscreen gone",
    ),
    (
        "zooming",
        "goto 500ns\nzoom-in\nzoom-in\nscreen in\npan-left\npan-right\npan-right\nscreen panned\n\
         zoom-out\nfit-lane\nscreen lane\nfit-span\nscreen span\nfit-all\ntoggle-group\n\
         screen folded\nfold-all\nsort\nsort\nsort\npin\nscreen sorted\nstrips\nscreen strips",
    ),
    (
        "causes",
        "goto-lane t1\ngoto 500ns\ncause\nscreen cause\ncause\nback\nforward\neffect\n\
         screen effect\nshade\nscreen shaded\ncancel\nshade\nkey esc\ngoto-lane t1\ngoto 120ns\n\
         critical-path\nscreen path",
    ),
    (
        "findings",
        "details\ndetails\nfindings\nscreen list\nnext-finding\nnext-finding\nprevious-finding\n\
         screen at\nfinding\nscreen race\nscroll-down\nscroll-down\nscroll-up\nscreen scrolled\n\
         filter-findings deadlock\nnext-finding\nfinding\nscreen deadlock\nfilter-findings",
    ),
    (
        "searching",
        "search state:receive dur>10ns\nscreen found\nnext-match\nnext-match\nprevious-match\n\
         screen at\nonly\nscreen only\nsearch color:red\nscreen refused\ninspect 0x200\n\
         screen channel\ninspect 0x300\nscreen address\nplay\ntick 100ms\nfaster\nslower\n\
         screen played\nfollow\nplay\nfollow",
    ),
    (
        "keeping",
        "goto 400ns\nmark slow here\nscreen marked\ngoto 100ns\nnext-mark\nunmark\nscreen unmarked\n\
         copy-link\nscreen copied\nexport-text\ntype x\nkey esc\nexport-svg\nkey esc\n\
         export-perfetto\nkey esc",
    ),
    (
        "help",
        "help\nscreen help\nkey j ctrl-d\nscreen scrolled\nkey ?\npalette\ntype zoom\n\
         screen palette\nkey down enter\nscreen chosen\nkey /\ntype state:mutex\nscreen prompt\n\
         key enter\nscreen searched\ntheme\nascii\nmouse\nscreen looks\nquit",
    ),
];

fn log() -> Log {
    small_program().log()
}

fn shots(script: &str, size: (u16, u16), theme: Theme) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    // Marks are kept beside the log: it has to have a place of its own.
    let bytes = small_program().write_log(
        std::io::Cursor::new(Vec::new()),
        mmtrace_format::writer::BuilderOptions::default(),
    );
    std::fs::write(&path, bytes.unwrap().into_inner()).unwrap();
    let log = Log::open(&path).unwrap();
    let options = ScriptOptions { size, theme, ..ScriptOptions::default() };
    let output = run_script(&log, script, &options).unwrap();
    let mut all = String::new();
    for shot in &output.shots {
        all.extend(["== ", &shot.name, "\n", &text(&shot.buffer)]);
    }
    all.replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn screens_of_80_by_24_are_the_golden_ones() {
    for (name, script) in SCRIPTS {
        insta::assert_snapshot!(format!("{name}_80x24"), shots(script, (80, 24), Theme::default()));
    }
}

#[test]
fn screens_of_200_by_50_are_the_golden_ones() {
    for (name, script) in SCRIPTS {
        insta::assert_snapshot!(
            format!("{name}_200x50"),
            shots(script, (200, 50), Theme::default())
        );
    }
}

#[test]
fn ascii_screens_have_nothing_but_ascii_in_them() {
    let theme = Theme { palette: Palette::None, ascii: true };
    for (name, script) in SCRIPTS {
        let script = script.replace("ascii\n", "");
        let all = shots(&script, (80, 24), theme);
        assert!(all.is_ascii(), "{name}: {all}");
        insta::assert_snapshot!(format!("{name}_ascii"), all);
    }
}

#[test]
fn without_colours_no_cell_has_one_and_states_differ_by_glyph() {
    let theme = Theme { palette: Palette::None, ascii: false };
    let options = ScriptOptions { theme, ..ScriptOptions::default() };
    for (_, script) in SCRIPTS {
        let script = script.replace("theme\n", "").replace("mark slow here\n", "");
        let output = run_script(&log(), &script, &options).unwrap();
        for shot in &output.shots {
            for cell in shot.buffer.content() {
                assert_eq!(cell.fg, ratatui::style::Color::Reset, "{}", shot.name);
                assert_eq!(cell.bg, ratatui::style::Color::Reset, "{}", shot.name);
            }
        }
    }
}

#[test]
fn every_action_of_the_table_is_in_a_golden() {
    let mut used = BTreeSet::new();
    let keymap = Keymap::default();
    for line in SCRIPTS.iter().flat_map(|(_, script)| script.lines()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        used.insert(word.to_owned());
        if word == "key" {
            let keys = rest.split(' ').filter_map(|key| key.parse().ok());
            used.extend(
                keys.filter_map(|key| keymap.action(key)).map(|a| a.spec().name.to_owned()),
            );
        }
    }
    let missing: Vec<&str> =
        ACTIONS.iter().map(|spec| spec.name).filter(|name| !used.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn the_same_script_gives_the_same_bytes_in_every_form() {
    let options = ScriptOptions { keymap: Arc::default(), ..ScriptOptions::default() };
    let forms = || {
        let output = run_script(&log(), SCRIPTS[2].1, &options).unwrap();
        let shot = &output.shots[0];
        let picture = svg(&shot.buffer, options.theme);
        (text(&shot.buffer), picture, json(&shot.model, &shot.buffer).to_string())
    };
    let (first, second) = (forms(), forms());
    assert_eq!(first, second);
    assert!(first.1.starts_with("<svg ") && first.1.ends_with("</svg>\n"));
    assert!(first.2.contains("\"states\":[\""));
}

#[test]
fn a_resize_keeps_the_lane_and_the_time() {
    let script = "goto-lane t2\ngoto 420ns\nsize 40x10\nscreen small\nsize 200x50\nscreen large\n\
                  size 20x6\nscreen least";
    let output = run_script(&log(), script, &ScriptOptions::default()).unwrap();
    for shot in &output.shots {
        assert_eq!(shot.model.cursor_ns, 420, "{}", shot.name);
        assert_eq!(shot.model.lane_name(shot.model.lane().unwrap()), "t2", "{}", shot.name);
    }
}

#[test]
fn a_line_that_cannot_be_understood_is_an_error_with_its_number() {
    let error = run_script(&log(), "zoom-in\nzom-in\n", &ScriptOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("line 2: there is no action `zom-in`"), "{error}");
    for script in ["key nokey", "tick soon", "size big", "goto-lane", "down 3"] {
        let result = run_script(&log(), script, &ScriptOptions::default());
        assert_eq!(result.is_ok(), script == "goto-lane", "{script}");
    }
}

/// A number that is cut off by the next one would be read as another number.
#[test]
fn times_on_the_axis_do_not_overlap_wherever_the_cursor_is() {
    let steps = "right\nscreen step\n".repeat(60);
    let sizes = [60, 70, 80, 120].map(|width| format!("size {width}x24\nline-start\n{steps}"));
    let closer = "zoom-in\n".repeat(4);
    let script = format!("goto 1200ns\n{closer}{}", sizes.concat());
    let output = run_script(&log(), &script, &ScriptOptions::default()).unwrap();
    for shot in &output.shots {
        let screen = text(&shot.buffer);
        let axis = screen.lines().nth(2).unwrap().replace(['┊', '▼'], " ");
        for label in axis.split_whitespace().skip(2) {
            // With all their digits: they differ in the last ones only.
            let is_time = label.len() == 11 && label.ends_with('s') && label.starts_with("0.0");
            assert!(is_time && label[..10].parse::<f64>().is_ok(), "{axis}");
        }
    }
}

#[test]
fn a_pane_that_was_scrolled_past_its_end_scrolls_back_at_once() {
    let down = "scroll-down\n".repeat(200);
    let script = format!("next-finding\nfinding\n{down}screen end\nscroll-up\nscreen back");
    let output = run_script(&log(), &script, &ScriptOptions::default()).unwrap();
    let [end, back] = [&output.shots[0], &output.shots[1]].map(|shot| text(&shot.buffer));
    assert!(!end.contains("more: J") && back.contains(" 1 more: J"), "{end}{back}");
}

#[test]
fn a_question_that_gets_no_answer_changes_nothing() {
    let script = "goto-lane t2\ngoto 420ns\nkey T enter t enter O enter\nscreen same";
    let output = run_script(&log(), script, &ScriptOptions::default()).unwrap();
    let model = &output.shots[0].model;
    assert_eq!(model.lane_name(model.lane().unwrap()), "t2");
    assert_eq!((model.cursor_ns, &model.message, &model.overlay), (420, &None, &None));
}

#[test]
fn help_cuts_nothing_off() {
    let script = "screen page\nkey space\n".repeat(10);
    for size in [(80, 24), (200, 50)] {
        let options = ScriptOptions { size, ..ScriptOptions::default() };
        let output = run_script(&log(), &format!("help\n{script}"), &options).unwrap();
        for shot in &output.shots {
            let screen = text(&shot.buffer);
            let cut = screen.lines().find(|line| line.starts_with('│') && line.contains('…'));
            assert_eq!(cut, None);
        }
        let last = text(&output.shots.last().unwrap().buffer);
        assert!(!last.contains("more below"), "{last}");
    }
}

/// The finding led to one access of many: what stands there is that one, not the event before.
#[test]
fn at_a_race_the_state_at_the_cursor_is_the_access() {
    let output = run_script(&log(), "next-finding\ndetails", &ScriptOptions::default()).unwrap();
    let shown = text(&output.shots[0].buffer);
    assert!(shown.contains("write of 8 bytes at 0x300"), "{shown}");
    assert!(shown.contains("app::note  src/app.rs:30"), "{shown}");
}

/// What lies over everything is between the mouse and the lanes.
#[test]
fn the_mouse_does_not_reach_through_help() {
    let output = run_script(&log(), "help", &ScriptOptions::default()).unwrap();
    let mut model = output.shots[0].model.clone();
    let before = (model.cursor_ns, model.selected);
    update(&mut model, Message::Click(60, 5));
    assert_eq!((model.cursor_ns, model.selected), before);
    update(&mut model, Message::Wheel(60, 5, false));
    assert_eq!(model.overlay, Some(Overlay::Help(3)));
    update(&mut model, Message::Key('q'.into()));
    update(&mut model, Message::Click(60, 5));
    assert_ne!((model.cursor_ns, model.selected), before);
}

#[test]
fn an_exported_screen_does_not_say_that_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let [there, nowhere] = ["screen.txt", "no/screen.txt"].map(|name| folder.path().join(name));
    let (there, nowhere) = (there.display(), nowhere.display());
    let script = format!("export-text {there}\nscreen\nexport-text {nowhere}\nscreen");
    let output = run_script(&log(), &script, &ScriptOptions::default()).unwrap();
    let said = [&output.shots[0], &output.shots[1]].map(|shot| shot.model.message.clone().unwrap());
    assert_eq!(said[0], format!("written to {there}"));
    assert!(said[1].starts_with(&format!("{nowhere} cannot be written: ")), "{}", said[1]);
    let written = std::fs::read_to_string(there.to_string()).unwrap();
    assert!(written.contains(" ? help  + zoom") && !written.contains("written"), "{written}");
}

/// What was typed wrong is mended where it is wrong.
#[test]
fn a_question_is_edited_at_its_cursor() {
    let script = "key /\ntype stat:mutx\nkey left\ntype e\nkey home right right right right\n\
                  screen before\ntype e\nscreen typed\nkey ctrl-k\nscreen cut";
    let output = run_script(&log(), script, &ScriptOptions::default()).unwrap();
    let last_lines = output.shots.iter().map(|shot| {
        let shown = text(&shot.buffer);
        shown.lines().last().unwrap().split(": ").nth(1).unwrap_or_default().to_owned()
    });
    assert_eq!(last_lines.collect::<Vec<_>>(), ["stat:mutex", "state:mutex", "state_"]);
    let reversed = |shot: &Shot| {
        let last = shot.buffer.area.height - 1;
        let row = (0..shot.buffer.area.width).map(|x| &shot.buffer[(x, last)]);
        let marked = row.filter(|cell| cell.modifier.contains(Modifier::REVERSED));
        marked.map(ratatui::buffer::Cell::symbol).collect::<String>()
    };
    assert!(reversed(&output.shots[1]).contains(':'));
}

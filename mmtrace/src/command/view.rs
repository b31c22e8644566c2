//! `mmtrace view`: the explorer, in the terminal or by a script.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mmtrace_tui::export;
use mmtrace_tui::keymap::Keymap;
use mmtrace_tui::model::Link;
use mmtrace_tui::script::{ScriptError, ScriptOptions, ScriptOutput, Shot, run_script_watched};
use mmtrace_tui::theme::{Palette, Theme};
use mmtrace_tui::{RunError, ViewOptions};

use crate::args::{ScreenForm, Shared, ThemeName, View};
use crate::command::analyze::speaks_utf8;
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::{Output, unwritten};
use crate::progress::Bars;

/// Opens the explorer, or runs its script.
pub(crate) fn run(args: &View, shared: Shared) -> Result<Outcome, Failure> {
    let (path, link) = split_link(&args.log)?;
    let keymap = Arc::new(keymap(args.keys.as_deref())?);
    let theme = Theme { palette: palette(args.theme), ascii: args.ascii || !speaks_utf8() };
    if args.script.is_some() || args.dump.is_some() {
        // What a script writes does not depend on where it runs.
        let palette = args.theme.map_or(Palette::Dark, |name| palette(Some(name)));
        let theme = Theme { palette, ascii: args.ascii };
        let options = ScriptOptions { size: args.size, theme, keymap, link };
        return scripted(args, &path, &options, shared);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::usage(anyhow!(
            "the explorer needs a terminal; --script FILE or --dump text do without"
        )));
    }
    let options = ViewOptions { theme, keymap, link, follow: args.follow };
    mmtrace_tui::run(&path, &options).map_err(|error| match error {
        RunError::Open(error) => Failure::log(error),
        error => Failure::usage(error),
    })?;
    Ok(Outcome::Clean)
}

/// A log and a place in it. A file whose name has a `#` in it is a file.
fn split_link(log: &str) -> Result<(PathBuf, Option<Link>), Failure> {
    match log.rsplit_once('#') {
        Some((path, place)) if !Path::new(log).exists() => {
            Ok((PathBuf::from(path), Some(place.parse().map_err(Failure::usage)?)))
        }
        _ => Ok((PathBuf::from(log), None)),
    }
}

/// The keys, with what a file changes.
fn keymap(asked: Option<&Path>) -> Result<Keymap, Failure> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => match default_keys() {
            Some(path) if path.is_file() => path,
            _ => return Ok(Keymap::default()),
        },
    };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::usage)?;
    Keymap::with_changes(&text).with_context(|| path.display().to_string()).map_err(Failure::usage)
}

/// Where people keep their key file.
fn default_keys() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
    let folder = folder
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    Some(folder.join("mmtrace").join("keys"))
}

/// The colours that were asked for, or those that the terminal can show.
fn palette(asked: Option<ThemeName>) -> Palette {
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let says = |name: &str, word: &str| std::env::var(name).is_ok_and(|it| it.contains(word));
    match asked {
        Some(ThemeName::Light) => Palette::Light,
        Some(ThemeName::Sixteen) => Palette::Sixteen,
        Some(ThemeName::None) => Palette::None,
        None if has("NO_COLOR") || says("TERM", "dumb") => Palette::None,
        None if !says("COLORTERM", "truecolor") && !says("COLORTERM", "24bit") => Palette::Sixteen,
        // Some terminals say which of the 16 colours their background is.
        None if std::env::var("COLORFGBG").is_ok_and(|it| it.ends_with(";15")) => Palette::Light,
        Some(ThemeName::Dark) | None => Palette::Dark,
    }
}

fn scripted(
    args: &View,
    path: &Path,
    options: &ScriptOptions,
    shared: Shared,
) -> Result<Outcome, Failure> {
    let script = match args.script.as_deref() {
        None => String::new(),
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the script from standard input")
                .map_err(Failure::usage)?;
            text
        }
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))
            .map_err(Failure::usage)?,
    };
    let log = inputs::open(path)?;
    let theme = options.theme;
    let bars = Bars::new(shared.quiet);
    let result =
        run_script_watched(&log, &script, options, &bars).map_err(|error| match error {
            ScriptError::Line { .. } => Failure::usage(error),
            error => Failure::log(error),
        })?;
    drop(bars);
    let mut output = Output::standard();
    let form = args.dump.unwrap_or(ScreenForm::Text);
    let written = written(&result.shots, form, theme);
    output.write_all(written.as_bytes()).map_err(unwritten)?;
    output.finish()?;
    for text in &result.copied {
        note(&format!("copied {text}"));
    }
    if args.timings {
        note(&timings(&result));
    }
    Ok(Outcome::Clean)
}

/// All screens, one after the other.
fn written(shots: &[Shot], form: ScreenForm, theme: Theme) -> String {
    let mut text = String::new();
    for shot in shots {
        match form {
            ScreenForm::Text => {
                if !shot.name.is_empty() {
                    text.extend(["== ", &shot.name, "\n"]);
                }
                text.push_str(&export::text(&shot.buffer));
            }
            ScreenForm::Svg => text.push_str(&export::svg(&shot.buffer, theme)),
            ScreenForm::Json => {
                let mut value = export::json(&shot.model, &shot.buffer);
                value["name"] = shot.name.as_str().into();
                text.push_str(&value.to_string());
                text.push('\n');
            }
        }
    }
    text
}

fn timings(result: &ScriptOutput) -> String {
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let spread = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            ms(times.get(place).copied().unwrap_or_default())
        };
        format!("median {}, 99th percentile {}, longest {}", at(50), at(99), at(100))
    };
    format!(
        "first frame {}; {} frames: {}; {} states at the cursor: {}",
        ms(result.first_frame),
        result.frames.len(),
        spread(&result.frames),
        result.details.len(),
        spread(&result.details)
    )
}

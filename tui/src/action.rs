//! Everything that a person can do, in one table: names for scripts and the palette, keys, help.
//!
//! A new action is a row here and an arm in [`crate::update`]; the help screen, the palette, the key
//! map and scripts follow from the row.

/// Where the help screen shows an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Moving the cursor.
    Move,
    /// What of time and of lanes is on the screen.
    View,
    /// Who woke whom.
    Cause,
    /// What is wrong with the program.
    Find,
    /// What to keep and take away.
    Keep,
    /// The program itself.
    Program,
}

impl Topic {
    /// Every topic, in the order of the help screen.
    pub const ALL: [Self; 6] =
        [Self::Move, Self::View, Self::Cause, Self::Find, Self::Keep, Self::Program];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Move => "Move",
            Self::View => "Time and lanes",
            Self::Cause => "Causality",
            Self::Find => "Findings and search",
            Self::Keep => "Marks, copies, exports",
            Self::Program => "The explorer",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// The action.
    pub action: Action,
    /// Its name in scripts, the palette and key files.
    pub name: &'static str,
    /// The keys it has unless they are changed, separated by spaces.
    pub keys: &'static str,
    /// Where the help screen shows it.
    pub topic: Topic,
    /// What it needs to know, if anything; it is asked for when it is not given.
    pub argument: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

macro_rules! argument {
    () => {
        None
    };
    ($argument:literal) => {
        Some($argument)
    };
}

macro_rules! actions {
    ($($action:ident $name:literal $keys:literal $topic:ident [$($argument:literal)?] $help:literal;)*) => {
        /// Something that a person can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $(#[doc = $help] $action,)*
        }

        /// The table.
        pub static ACTIONS: &[ActionSpec] = &[$(ActionSpec {
            action: Action::$action,
            name: $name,
            keys: $keys,
            topic: Topic::$topic,
            argument: argument!($($argument)?),
            help: $help,
        }),*];
    };
}

actions! {
    Left "left" "h left" Move [] "The cursor goes one column back in time.";
    Right "right" "l right" Move [] "The cursor goes one column on in time.";
    Down "down" "j down" Move [] "The next lane.";
    Up "up" "k up" Move [] "The lane above.";
    PageDown "page-down" "ctrl-d pagedown" Move [] "Half a screen of lanes down.";
    PageUp "page-up" "ctrl-u pageup" Move [] "Half a screen of lanes up.";
    FirstLane "first-lane" "g" Move [] "The first lane.";
    LastLane "last-lane" "G" Move [] "The last lane.";
    NextChange "next-change" "w" Move [] "To the lane's next change of state.";
    PreviousChange "previous-change" "b" Move [] "To the lane's change of state before.";
    LineStart "line-start" "^ home" Move [] "The cursor goes to the window's beginning.";
    LineEnd "line-end" "$ end" Move [] "The cursor goes to the window's end.";
    Goto "goto" "t" Move ["time"] "To a time, like 1.5s, 20ms or 300us since the log began.";
    GotoLane "goto-lane" "T" Move ["lane"] "To a lane, by number or by a part of its name.";

    ZoomIn "zoom-in" "+ =" View [] "Half as much time, around the cursor.";
    ZoomOut "zoom-out" "-" View [] "Twice as much time, around the cursor.";
    PanLeft "pan-left" "H shift-left" View [] "The window goes a quarter of itself back.";
    PanRight "pan-right" "L shift-right" View [] "The window goes a quarter of itself on.";
    FitAll "fit-all" "0" View [] "All of the log.";
    FitLane "fit-lane" "f" View [] "The selected lane from its beginning to its end.";
    FitSpan "fit-span" "z" View [] "The stretch of one state that the cursor is in.";
    ToggleGroup "toggle-group" "enter" View [] "Folds or unfolds the lanes that were started at the same place; in a list, goes to the entry.";
    FoldAll "fold-all" "c" View [] "Folds all groups of lanes, or unfolds them.";
    Sort "sort" "s" View [] "The next order of lanes: number, name, beginning, waiting, activity.";
    Pin "pin" "p" View [] "Keeps the selected lane at the top, or lets it go.";
    Only "only" "o" View [] "Shows only the lanes with matches of the search, or all again.";
    Strips "strips" "S" View [] "Shows or hides the strips of heap, collections and lanes.";
    Play "play" "space" View [] "Plays the log from the cursor on, or stops.";
    Faster "faster" ">" View [] "Plays twice as fast.";
    Slower "slower" "<" View [] "Plays half as fast.";
    Follow "follow" "ctrl-f" View [] "Follows a log that is still being written, or stops.";

    Cause "cause" "[" Cause [] "To what woke this lane, or let it go on.";
    Effect "effect" "]" Cause [] "To whom this lane let go on.";
    Back "back" "ctrl-o backspace" Cause [] "Back to where the cursor was before a jump.";
    Forward "forward" "tab ctrl-i" Cause [] "Forward again.";
    Shade "shade" "i" Cause [] "Shades what happens before and after the cursor's event; the rest is concurrent.";
    CriticalPath "critical-path" "P" Cause [] "Who really held up the wait under the cursor.";

    Details "details" "d" Find [] "The state at the cursor: stack, locks, what it waits for.";
    Findings "findings" "F" Find [] "The list of findings.";
    Finding "finding" "r" Find [] "The finding in full: both sides of a race, the threads of a deadlock, a curve.";
    NextFinding "next-finding" "e" Find [] "To the next finding.";
    PreviousFinding "previous-finding" "E" Find [] "To the finding before.";
    FilterFindings "filter-findings" "" Find ["kind or text"] "Lists only findings with this in kind, title or test; empty: all.";
    Search "search" "/" Find ["query"] "Searches: state: reason: kind: dur> fn: file: obj: g: created-by: test: touches: finding: text.";
    NextMatch "next-match" "n" Find [] "To the next match.";
    PreviousMatch "previous-match" "N" Find [] "To the match before.";
    Inspect "inspect" "O" Find ["address"] "Everything about an object or an address at the cursor's time: holder, waiters, last writer.";
    ScrollDown "scroll-down" "J ctrl-e" Find [] "Scrolls the pane down.";
    ScrollUp "scroll-up" "K ctrl-y" Find [] "Scrolls the pane up.";

    Mark "mark" "m" Keep ["note"] "Keeps a mark with a note at the cursor, in a file beside the log.";
    NextMark "next-mark" "'" Keep [] "To the next mark.";
    Unmark "unmark" "U" Keep [] "Removes the mark at the cursor.";
    CopyLink "copy-link" "y" Keep [] "Copies a link to this place: run.log#t=..&g=..&q=..";
    ExportText "export-text" "" Keep ["file"] "Writes the screen as text.";
    ExportSvg "export-svg" "" Keep ["file"] "Writes the screen as a picture.";
    ExportPerfetto "export-perfetto" "" Keep ["file"] "Writes the window as a trace for the Perfetto UI.";

    Help "help" "? f1" Program [] "All keys.";
    Palette "palette" ": ctrl-p" Program [] "All actions by name.";
    Theme "theme" "ctrl-t" Program [] "The next theme: dark, light, 16 colours, none.";
    Ascii "ascii" "A" Program [] "Only ASCII characters, or all again.";
    Mouse "mouse" "M" Program [] "The mouse selects lanes and times, or text again.";
    Cancel "cancel" "esc" Program [] "Closes what is open; stops what is running.";
    Quit "quit" "q ctrl-c" Program [] "Leaves.";
}

impl Action {
    /// Its row of the table.
    pub fn spec(self) -> &'static ActionSpec {
        &ACTIONS[self as usize]
    }
}

/// An action with what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub action: Action,
    /// What it needs to know, if that was given.
    pub argument: Option<String>,
}

/// A line is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such action.
    #[error("there is no action `{name}`{}", nearest.map_or(String::new(), |n| format!(": did you mean `{n}`?")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The action whose name is most like it.
        nearest: Option<&'static str>,
    },
    /// The action takes no argument.
    #[error("`{name}` takes no argument, got `{argument}`")]
    Surplus {
        /// The action.
        name: &'static str,
        /// What was given.
        argument: String,
    },
}

impl From<Action> for Command {
    fn from(action: Action) -> Self {
        Self { action, argument: None }
    }
}

impl std::str::FromStr for Command {
    type Err = CommandError;

    /// An action's name, and after it what it needs to know.
    fn from_str(line: &str) -> Result<Self, CommandError> {
        let line = line.trim();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let spec = ACTIONS.iter().find(|spec| spec.name == name).ok_or_else(|| {
            let nearest = ACTIONS.iter().map(|spec| spec.name).find(|known| {
                !name.is_empty() && (known.starts_with(name) || known.contains(name))
            });
            CommandError::Unknown { name: name.to_owned(), nearest }
        })?;
        let argument = argument.trim();
        if spec.argument.is_none() && !argument.is_empty() {
            let argument = argument.to_owned();
            return Err(CommandError::Surplus { name: spec.name, argument });
        }
        let argument = (!argument.is_empty()).then(|| argument.to_owned());
        Ok(Self { action: spec.action, argument })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_actions_and_names_are_distinct() {
        for (place, spec) in ACTIONS.iter().enumerate() {
            assert_eq!(spec.action as usize, place);
            assert_eq!(ACTIONS.iter().filter(|other| other.name == spec.name).count(), 1);
            assert!(spec.help.ends_with('.') || spec.help.ends_with("q=.."), "{}", spec.name);
        }
    }

    #[test]
    fn a_line_is_a_name_and_what_the_action_needs() {
        let goto = Command { action: Action::Goto, argument: Some("1.5 ms".to_owned()) };
        assert_eq!("goto  1.5 ms ".parse(), Ok(goto));
        assert_eq!("help".parse(), Ok(Command::from(Action::Help)));
        let error = "zoom".parse::<Command>().unwrap_err();
        assert_eq!(error.to_string(), "there is no action `zoom`: did you mean `zoom-in`?");
        assert!("help me".parse::<Command>().is_err());
    }
}

//! What a lane is doing at a moment: the table of states, from which glyphs and colours follow.

use mmtrace_format::event::BlockReason;

/// What a family of states looks like: themes give each one colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hue {
    /// Nothing to see.
    Nothing,
    /// Using a processor.
    Running,
    /// Could run.
    Runnable,
    /// Waiting for another lane through a channel.
    Channel,
    /// Waiting for a lock.
    Lock,
    /// Waiting for others to arrive, end or signal.
    Rendezvous,
    /// Waiting for time, the system or the collector.
    Outside,
    /// Not known.
    Missing,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct StateSpec {
    /// The state.
    pub state: State,
    /// Its name in queries and on the screen.
    pub name: &'static str,
    /// Its cell on a screen with Unicode.
    pub glyph: char,
    /// Its cell on any screen; no other state has it.
    pub ascii: char,
    /// Its colour's family.
    pub hue: Hue,
    /// What it means, for the help screen.
    pub meaning: &'static str,
}

macro_rules! states {
    ($($state:ident $name:literal $glyph:literal $ascii:literal $hue:ident $meaning:literal;)*) => {
        /// What a lane is doing at a moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum State {
            $(#[doc = $meaning] $state,)*
        }

        impl State {
            /// Every state, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$state),*];
        }

        /// The table.
        pub static STATES: &[StateSpec] = &[$(StateSpec {
            state: State::$state,
            name: $name,
            glyph: $glyph,
            ascii: $ascii,
            hue: Hue::$hue,
            meaning: $meaning,
        }),*];
    };
}

states! {
    NotBorn "not-born" ' ' ' ' Nothing "Not started yet.";
    Running "running" '█' '=' Running "Running.";
    Runnable "runnable" '▒' '-' Runnable "Could run, and waits for a processor.";
    Send "send" '▶' '>' Channel "Blocked: a channel has no room, or no receiver.";
    Receive "receive" '◀' '<' Channel "Blocked: a channel has no value.";
    Select "select" '◆' '?' Channel "Blocked: no case of a select is ready.";
    Mutex "mutex" 'm' 'm' Lock "Blocked: a mutex is held.";
    RwMutex "rwmutex" 'w' 'w' Lock "Blocked: a read-write lock is held, or wanted by a writer.";
    Once "once" 'o' 'o' Lock "Blocked: somebody else is initialising.";
    WaitGroup "wait-group" 'g' 'g' Rendezvous "Blocked: a wait group is not done.";
    Condition "condition" 'c' 'c' Rendezvous "Blocked: a condition variable was not signalled.";
    Join "join" 'j' 'j' Rendezvous "Blocked: a thread has not ended.";
    Park "park" 'p' 'p' Rendezvous "Blocked: nobody unparked it.";
    Barrier "barrier" 'b' 'b' Rendezvous "Blocked: a barrier is not full.";
    Sleep "sleep" 'z' 'z' Outside "Asleep.";
    Io "io" 'i' 'i' Outside "Blocked: the network or a file.";
    Syscall "syscall" 'y' 'y' Outside "In a system call.";
    Gc "gc" 'G' 'G' Outside "Held up by the garbage collector.";
    Blocked "blocked" 'x' 'x' Lock "Blocked, for a reason of no other name (a nil channel, a pool, unknown).";
    Ended "ended" '·' '.' Nothing "Ended.";
    Gap "gap" '╳' '!' Missing "Not known: events were lost.";
    Seen "seen" '▓' '~' Missing "Did something; what, is still being worked out.";
}

/// How many states there are.
pub const STATE_COUNT: usize = STATES.len();

/// How long a lane was in each state, in ns, by the states' numbers.
pub type Times = [u64; STATE_COUNT];

impl State {
    /// Its row of the table.
    pub fn spec(self) -> &'static StateSpec {
        &STATES[self as usize]
    }

    /// The state with this number; an unknown one is [`State::Gap`].
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Gap)
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        STATES.iter().find(|row| row.name == name).map(|row| row.state)
    }

    /// The state of a thread that waits for this.
    pub fn of_wait(reason: BlockReason) -> Self {
        match reason {
            BlockReason::Send => Self::Send,
            BlockReason::Receive => Self::Receive,
            BlockReason::Select => Self::Select,
            BlockReason::Mutex => Self::Mutex,
            BlockReason::ReadLock | BlockReason::WriteLock => Self::RwMutex,
            BlockReason::WaitGroup => Self::WaitGroup,
            BlockReason::Condition => Self::Condition,
            BlockReason::Sleep => Self::Sleep,
            BlockReason::Io => Self::Io,
            BlockReason::Syscall => Self::Syscall,
            BlockReason::GarbageCollector => Self::Gc,
            BlockReason::Join => Self::Join,
            BlockReason::Park => Self::Park,
            BlockReason::Barrier => Self::Barrier,
            BlockReason::Once => Self::Once,
            _ => Self::Blocked,
        }
    }

    /// Whether the lane waits for something.
    pub fn is_waiting(self) -> bool {
        matches!(self.spec().hue, Hue::Channel | Hue::Lock | Hue::Rendezvous | Hue::Outside)
    }

    /// Whether the lane is there at all.
    pub fn is_alive(self) -> bool {
        self.spec().hue != Hue::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_name_glyph_and_ascii_character() {
        for (number, row) in STATES.iter().enumerate() {
            assert_eq!(row.state as usize, number);
            assert_eq!(State::from_name(row.name), Some(row.state));
            assert!(row.ascii.is_ascii());
            let same = |other: &&StateSpec| other.ascii == row.ascii || other.glyph == row.glyph;
            assert_eq!(STATES.iter().filter(same).count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn every_reason_to_block_is_a_state_of_waiting() {
        for reason in BlockReason::ALL {
            assert!(State::of_wait(reason).is_waiting(), "{}", reason.name());
        }
    }
}

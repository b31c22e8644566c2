//! The search language: words that must all hold of an event.
//!
//! ```text
//! state:mutex dur>1ms fn:serve      long waits for a mutex inside serve
//! reason:receive g:worker           receives that worker lanes had to wait for
//! touches:0x7f00 -g:t0              accesses of an address by others than t0
//! ```
//!
//! An *item* is an event of a lane's program order. Memory accesses are items, too, in queries that
//! have `touches:` or name a kind of access. `-` before a word turns it round.

use mmtrace_format::event::BlockReason;
use mmtrace_format::{AccessKind, EventKind};

use crate::index::State;

/// A query: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The terms, and whether each is turned round.
    pub terms: Vec<(Term, bool)>,
}

/// A condition on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// The state that the event puts its lane in.
    State(State),
    /// It begins any kind of wait.
    Waiting,
    /// What it begins to wait for.
    Reason(BlockReason),
    /// The kind of event, by its name.
    Kind(EventKind),
    /// The kind of access, by its name.
    Access(AccessKind),
    /// The wait that it begins lasts at least this long.
    Longer(u64),
    /// The wait that it begins lasts less than this.
    Shorter(u64),
    /// A function of its stack.
    Function(String),
    /// A file of its stack.
    File(String),
    /// The object that it is about.
    Object(u64),
    /// The lane, by number.
    Thread(u32),
    /// The lane, by a part of its name.
    Name(String),
    /// A function or file of the stack that started its lane.
    CreatedBy(String),
    /// The test that its lane, or one that started it, runs.
    Test(String),
    /// It accesses this byte.
    Touches(u64),
    /// A finding of this kind or fingerprint names it.
    Finding(String),
    /// It is not before this time.
    From(u64),
    /// It is before this time.
    To(u64),
    /// Its kind, its lane's name, or its stack has this in it.
    Text(String),
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A word's value is not of the kind that its key needs.
    #[error("`{word}`: expected {expected}")]
    Value {
        /// The word.
        word: String,
        /// What it should be.
        expected: String,
    },
    /// There is no such key.
    #[error("`{key}:` is no key: expected one of {}", KEYS.join(", "))]
    Key {
        /// The key.
        key: String,
    },
}

/// The keys of the language.
pub const KEYS: [&str; 14] = [
    "state:",
    "reason:",
    "kind:",
    "dur>",
    "dur<",
    "fn:",
    "file:",
    "obj:",
    "g:",
    "created-by:",
    "test:",
    "touches:",
    "finding:",
    "from:/to:",
];

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut terms = Vec::new();
        for word in words(text) {
            let (word, is_turned) = match word.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (rest, true),
                _ => (word.as_str(), false),
            };
            terms.push((term(word)?, is_turned));
        }
        Ok(Self { terms })
    }
}

impl Query {
    /// Whether the log has to be analysed to answer it.
    pub fn wants_findings(&self) -> bool {
        self.terms.iter().any(|(term, _)| matches!(term, Term::Finding(_)))
    }

    /// Whether accesses can be among the items.
    pub fn wants_accesses(&self) -> bool {
        let access = |(term, _): &(Term, bool)| {
            matches!(term, Term::Touches(_) | Term::Access(_) | Term::Finding(_))
        };
        self.terms.iter().any(access)
    }
}

/// Splits at spaces that are not between quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in text.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            _ if character.is_whitespace() && !is_quoted => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(character);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn term(word: &str) -> Result<Term, QueryError> {
    let wrong =
        |expected: &str| QueryError::Value { word: word.to_owned(), expected: expected.to_owned() };
    let duration = |text: &str| parse_time(text).ok_or_else(|| wrong("a time, like 1.5s or 20ms"));
    let address = |text: &str| parse_address(text).ok_or_else(|| wrong("an address, like 0x7f00"));
    if let Some(value) = word.strip_prefix("dur>") {
        return duration(value).map(Term::Longer);
    }
    if let Some(value) = word.strip_prefix("dur<") {
        return duration(value).map(Term::Shorter);
    }
    // A path of functions has colons, too.
    let Some((key, value)) = word.split_once(':').filter(|(_, value)| !value.starts_with(':'))
    else {
        return Ok(Term::Text(word.to_lowercase()));
    };
    let lower = value.to_lowercase();
    Ok(match key {
        "state" if value == "waiting" => Term::Waiting,
        "state" => Term::State(State::from_name(value).ok_or_else(|| {
            let names: Vec<&str> = State::ALL.iter().map(|state| state.spec().name).collect();
            wrong(&format!("waiting or one of {}", names.join(", ")))
        })?),
        "reason" => {
            let reason = BlockReason::ALL.into_iter().find(|reason| reason.name() == value);
            let names: Vec<&str> = BlockReason::ALL.iter().map(|reason| reason.name()).collect();
            Term::Reason(reason.ok_or_else(|| wrong(&format!("one of {}", names.join(", "))))?)
        }
        "kind" => match EventKind::ALL.iter().find(|kind| kind.name() == value) {
            Some(&kind) => Term::Kind(kind),
            None => Term::Access(
                AccessKind::from_name(value)
                    .ok_or_else(|| wrong("a kind of event or access, as `dump` names them"))?,
            ),
        },
        "dur" => return Err(wrong("dur> or dur< and a time")),
        "fn" => Term::Function(lower),
        "file" => Term::File(lower),
        "obj" => Term::Object(address(value)?),
        "g" => match value.strip_prefix('t').unwrap_or(value).parse() {
            Ok(number) => Term::Thread(number),
            Err(_) => Term::Name(lower),
        },
        "created-by" => Term::CreatedBy(lower),
        "test" => Term::Test(lower),
        "touches" => Term::Touches(address(value)?),
        "finding" => Term::Finding(lower),
        "from" => Term::From(duration(value)?),
        "to" => Term::To(duration(value)?),
        _ => return Err(QueryError::Key { key: key.to_owned() }),
    })
}

/// A time: `1.5s`, `20ms`, `300us`, `900ns`, `2m`; a number without a unit is in nanoseconds.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit_ns: u64 = match unit.trim() {
        "ns" | "" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: u64 = whole.parse().ok()?;
    let places = u32::try_from(fraction.len()).ok().filter(|&places| places <= 9)?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = u128::from(fraction) * u128::from(unit_ns) / u128::from(10_u64.pow(places));
    whole.checked_mul(unit_ns)?.checked_add(u64::try_from(part).ok()?)
}

/// An address, in hexadecimal with `0x` or in decimal.
pub fn parse_address(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_terms() {
        let query: Query = "state:mutex dur>1.5ms -g:t3 fn:Serve \"hello world\"".parse().unwrap();
        assert_eq!(
            query.terms,
            [
                (Term::State(State::Mutex), false),
                (Term::Longer(1_500_000), false),
                (Term::Thread(3), true),
                (Term::Function("serve".to_owned()), false),
                (Term::Text("hello world".to_owned()), false),
            ]
        );
        assert!(!query.wants_accesses());
        assert!("touches:0x10".parse::<Query>().unwrap().wants_accesses());
        assert_eq!("".parse::<Query>().unwrap(), Query::default());
    }

    #[test]
    fn a_path_of_functions_is_text() {
        let query: Query = "app::serve".parse().unwrap();
        assert_eq!(query.terms, [(Term::Text("app::serve".to_owned()), false)]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_could_be() {
        for (text, expected) in [
            ("state:fast", "waiting or one of"),
            ("dur>fast", "a time"),
            ("obj:mutex", "an address"),
            ("color:red", "state:, reason:"),
            ("kind:nothing", "as `dump` names them"),
        ] {
            let error = text.parse::<Query>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("1.5s"), Some(1_500_000_000));
        assert_eq!(parse_time("300us"), Some(300_000));
        assert_eq!(parse_time("12"), Some(12));
        assert_eq!(parse_time("12 parsecs"), None);
        assert_eq!(parse_time("99999999999999999999s"), None);
    }
}

//! Links to places of a log: `run.log#t=1.5s&g=t3&q=state:mutex`.

use std::fmt;
use std::str::FromStr;

use mmtrace_format::ThreadId;

use crate::query::parse_time;

/// A place of a log, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// When, in ns.
    pub time_ns: Option<u64>,
    /// Where the window begins and ends.
    pub window: Option<(u64, u64)>,
    /// Which lane.
    pub thread: Option<ThreadId>,
    /// The search.
    pub query: Option<String>,
}

/// A text is no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is no part of a link: expected t=TIME, w=TIME-TIME, g=LANE or q=QUERY")]
pub struct LinkError {
    part: String,
}

impl FromStr for Link {
    type Err = LinkError;

    /// What comes after the `#`.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let mut link = Self::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let error = || LinkError { part: part.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(error)?;
            match key {
                "t" => link.time_ns = Some(parse_time(value).ok_or_else(error)?),
                "w" => {
                    let (from, to) = value.split_once('-').ok_or_else(error)?;
                    let parse = |text| parse_time(text).ok_or_else(error);
                    link.window = Some((parse(from)?, parse(to)?));
                }
                "g" => {
                    let number = value.strip_prefix('t').unwrap_or(value).parse();
                    link.thread = Some(ThreadId::new(number.map_err(|_| error())?));
                }
                "q" => link.query = Some(unescape(value)),
                _ => return Err(error()),
            }
        }
        Ok(link)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.time_ns.map(|time| format!("t={time}ns")));
        parts.extend(self.window.map(|(from, to)| format!("w={from}ns-{to}ns")));
        parts.extend(self.thread.map(|thread| format!("g={thread}")));
        parts.extend(self.query.as_ref().map(|query| format!("q={}", escape(query))));
        f.write_str(&parts.join("&"))
    }
}

fn escape(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z'
        | b'A'..=b'Z'
        | b'0'..=b'9'
        | b'.'
        | b':'
        | b'>'
        | b'<'
        | b'-'
        | b'_'
        | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(code) = code.filter(|_| byte == b'%') {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_as_it_was_written() {
        let link = Link {
            time_ns: Some(1_500_000_000),
            window: Some((1, 2_000_000_000)),
            thread: Some(ThreadId::new(3)),
            query: Some("state:mutex dur>1ms \"ä & b\"".to_owned()),
        };
        assert_eq!(link.to_string().parse(), Ok(link));
        assert_eq!("t=1.5s&g=3".parse::<Link>().unwrap().thread, Some(ThreadId::new(3)));
        assert_eq!(String::new().parse(), Ok(Link::default()));
        assert!("x=1".parse::<Link>().is_err());
        assert!("t=soon".parse::<Link>().is_err());
    }
}

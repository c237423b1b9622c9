//! Patterns that choose channels: `*` stands for anything, `?` for one character, `[a-c]` and `[!a-c]` for one
//! of a set, `{one,other}` for alternatives, `\` takes the next character as it is.

use regex::Regex;
use std::{iter::Peekable, str::Chars};

/// A pattern, ready for use.
#[derive(Clone, Debug)]
pub struct Pattern(Option<Regex>);

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern cannot be read: {0}")]
pub struct BadPattern(&'static str);

impl Pattern {
    /// Reads a pattern; an empty one matches everything.
    ///
    /// # Errors
    /// A bracket or a brace that is not closed, or a `\` at the end.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        if pattern.is_empty() {
            return Ok(Self(None));
        }
        let mut out = String::from("(?s)^");
        let mut depth = 0_u32;
        let mut rest = pattern.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '*' => out.push_str(".*"),
                '?' => out.push('.'),
                '[' => out.push_str(&set(&mut rest)?),
                '{' => {
                    depth += 1;
                    out.push_str("(?:");
                }
                '}' if depth > 0 => {
                    depth -= 1;
                    out.push(')');
                }
                ',' if depth > 0 => out.push('|'),
                '\\' => literal(rest.next().ok_or(BadPattern("it ends with \\"))?, &mut out),
                other => literal(other, &mut out),
            }
        }
        if depth > 0 {
            return Err(BadPattern("a { is not closed"));
        }
        out.push('$');
        Regex::new(&out).map(|regex| Self(Some(regex))).map_err(|_| BadPattern("it is too large"))
    }

    /// Whether it chooses this channel.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(channel))
    }
}

fn literal(character: char, out: &mut String) {
    out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}

fn set(rest: &mut Peekable<Chars<'_>>) -> Result<String, BadPattern> {
    let mut out = String::from("[");
    if rest.next_if(|next| matches!(next, '!' | '^')).is_some() {
        out.push('^');
    }
    let mut is_empty = true;
    loop {
        match rest.next().ok_or(BadPattern("a [ is not closed"))? {
            ']' if is_empty => return Err(BadPattern("a set is empty")),
            ']' => break,
            '-' if !is_empty && rest.peek() != Some(&']') => out.push('-'),
            '\\' => member(rest.next().ok_or(BadPattern("it ends with \\"))?, &mut out),
            other => member(other, &mut out),
        }
        is_empty = false;
    }
    out.push(']');
    Ok(out)
}

fn member(character: char, out: &mut String) {
    if !character.is_alphanumeric() {
        out.push('\\');
    }
    out.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_channels() {
        for (pattern, matches, others) in [
            ("", &["", "chat:a"][..], &[][..]),
            ("*", &["", "chat:a\nb"], &[]),
            ("chat:*", &["chat:", "chat:a:b"], &["chat", "news:chat:a"]),
            ("chat:?", &["chat:a"], &["chat:", "chat:ab"]),
            ("chat:[a-c]", &["chat:b"], &["chat:d", "chat:-"]),
            ("chat:[!a-c]", &["chat:d"], &["chat:b"]),
            ("[-.^]", &["-", ".", "^"], &["a"]),
            ("{chat,news}:{a,b*}", &["chat:a", "news:bcd"], &["chat:c", "other:a"]),
            ("a.b+(c)", &["a.b+(c)"], &["axb+(c)", "a.bb(c)"]),
            (r"\*\{", &["*{"], &["a{"]),
            ("a,b}", &["a,b}"], &[]),
        ] {
            let read = Pattern::new(pattern).expect(pattern);
            assert!(matches.iter().all(|channel| read.matches(channel)), "{pattern}");
            assert!(!others.iter().any(|channel| read.matches(channel)), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_read_are_refused() {
        for pattern in ["[a", "[]", "{a", "a\\", "[\\"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new("[c-a]").is_err());
    }
}

//! Reads JSON text left to right, without recursion and without a tree.
//!
//! Owns the grammar. What it passes over it has checked, so a payload that left the scanner is one
//! well-formed value. Depth is bounded by [`MAX_DEPTH`](crate::wire::MAX_DEPTH); the stack of open brackets
//! is one `u128`. Why something could not be read stands in the scanner, so that a step is no more than a flag:
//! with an error in every result the browser's module grew by a tenth.

use crate::wire::{MAX_DEPTH, Text};
use alloc::{borrow::Cow, string::String};

/// Why bytes from outside could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {at}", self.what())]
pub struct DecodeError {
    /// Byte offset in the frame.
    pub at: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Syntax,
    TooDeep,
    Text,
    Number,
    Boolean,
    Object,
    Array,
    Verb,
}

impl DecodeError {
    /// What was wrong, in words.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self.kind {
            Kind::Syntax => "not JSON",
            Kind::TooDeep => "nested too deeply",
            Kind::Text => "expected a string",
            Kind::Number => "expected an integer in range",
            Kind::Boolean => "expected true or false",
            Kind::Object => "expected an object",
            Kind::Array => "expected an array",
            Kind::Verb => "expected exactly one verb",
        }
    }
}

/// `None`: it could not be read, and [`Scanner::failure`] knows why.
pub(crate) type Step<T = ()> = Option<T>;

#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    failure: DecodeError,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, failure: DecodeError { at: 0, kind: Kind::Syntax } }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Why the last step failed.
    pub(crate) const fn failure(&self) -> DecodeError {
        self.failure
    }

    pub(crate) const fn fail_at<T>(&mut self, at: usize, kind: Kind) -> Step<T> {
        self.failure = DecodeError { at, kind };
        None
    }

    const fn fail<T>(&mut self, kind: Kind) -> Step<T> {
        self.fail_at(self.at, kind)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// What lies between `from` and here. Both stand next to ASCII, so they are character boundaries.
    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Only white space is left.
    pub(crate) fn end(&mut self) -> Step {
        match self.space() {
            None => Some(()),
            Some(_) => self.fail(Kind::Syntax),
        }
    }

    /// The next object of a stream of objects; `None` at the end, and behind an error.
    pub(crate) fn next_document<T>(
        &mut self,
        decode: fn(&mut Self) -> Step<T>,
    ) -> Option<Result<T, DecodeError>> {
        self.space()?;
        let document = decode(self);
        if document.is_none() {
            self.at = self.text.len();
        }
        Some(document.ok_or(self.failure))
    }

    fn keyword(&mut self, word: &str) -> Step {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Some(())
        } else {
            self.fail(Kind::Syntax)
        }
    }

    /// Takes `null` if it is next: a field that is null counts as absent.
    pub(crate) fn null(&mut self) -> Step<bool> {
        if self.space() == Some(b'n') { self.keyword("null").map(|()| true) } else { Some(false) }
    }

    pub(crate) fn boolean(&mut self) -> Step<bool> {
        match self.space() {
            Some(b't') => self.keyword("true").map(|()| true),
            Some(b'f') => self.keyword("false").map(|()| false),
            _ => self.fail(Kind::Boolean),
        }
    }

    /// An integer without fraction or exponent, as sign and magnitude.
    pub(crate) fn integer(&mut self) -> Step<(bool, u64)> {
        self.space();
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        if self.number().is_none() {
            return self.fail_at(start, Kind::Number);
        }
        let digits = self.slice(start);
        let digits = digits.strip_prefix('-').unwrap_or(digits);
        let mut magnitude = 0_u64;
        for digit in digits.bytes() {
            let sum = magnitude
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit.wrapping_sub(b'0'))));
            match sum {
                Some(sum) if digit.is_ascii_digit() => magnitude = sum,
                _ => return self.fail_at(start, Kind::Number),
            }
        }
        Some((negative, magnitude))
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.fail(Kind::Syntax) } else { Some(()) }
    }

    fn number(&mut self) -> Step {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes over a string and says whether it holds an escape.
    fn skip_string(&mut self) -> Step<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    match self.byte() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            self.hex()?;
                        }
                        _ => return self.fail(Kind::Syntax),
                    }
                }
                Some(0..=0x1f) | None => return self.fail(Kind::Syntax),
                Some(_) => self.at += 1,
            }
        }
    }

    fn hex(&mut self) -> Step<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail(Kind::Syntax);
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Some(value)
    }

    pub(crate) fn text(&mut self) -> Step<Text<'a>> {
        if self.space() != Some(b'"') {
            return self.fail(Kind::Text);
        }
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        let end = self.at;
        self.at = end - 1;
        let inner = self.slice(start);
        self.at = end;
        Some(if escaped { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    /// One whole value, checked and left as it stands.
    pub(crate) fn raw(&mut self) -> Step<&'a str> {
        self.space();
        let start = self.at;
        self.skip_value()?;
        Some(self.slice(start))
    }

    /// Passes over one whole value. The open brackets are bits: 1 an object, 0 an array.
    pub(crate) fn skip_value(&mut self) -> Step {
        let (mut objects, mut depth) = (0_u128, 0_u32);
        loop {
            match self.space() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.space() == Some(close) {
                        self.at += 1;
                    } else {
                        if depth == MAX_DEPTH {
                            return self.fail(Kind::TooDeep);
                        }
                        depth += 1;
                        objects = (objects << 1) | u128::from(open == b'{');
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.skip_string()?;
                }
                Some(b't') => self.keyword("true")?,
                Some(b'f') => self.keyword("false")?,
                Some(b'n') => self.keyword("null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => return self.fail(Kind::Syntax),
            }
            // Behind a value: close what ends here, until a comma asks for the next value.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let in_object = objects & 1 == 1;
                match self.space() {
                    Some(b',') => {
                        self.at += 1;
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    _ => return self.fail(Kind::Syntax),
                }
                self.at += 1;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn key(&mut self) -> Step {
        if self.space() != Some(b'"') {
            return self.fail(Kind::Syntax);
        }
        self.skip_string()?;
        self.colon()
    }

    fn colon(&mut self) -> Step {
        if self.space() != Some(b':') {
            return self.fail(Kind::Syntax);
        }
        self.at += 1;
        Some(())
    }

    /// Walks an object; `field` takes the value behind the key that it is given.
    pub(crate) fn object(&mut self, field: &mut dyn FnMut(&mut Self, Text<'a>) -> Step) -> Step {
        if self.space() != Some(b'{') {
            return self.fail(Kind::Object);
        }
        self.at += 1;
        if self.space() == Some(b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.space() != Some(b'"') {
                return self.fail(Kind::Syntax);
            }
            let key = self.text()?;
            self.colon()?;
            field(self, key)?;
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Some(());
                }
                _ => return self.fail(Kind::Syntax),
            }
        }
    }

    /// Walks an array.
    pub(crate) fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Step) -> Step {
        if self.space() != Some(b'[') {
            return self.fail(Kind::Array);
        }
        self.at += 1;
        if self.space() == Some(b']') {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Some(());
                }
                _ => return self.fail(Kind::Syntax),
            }
        }
    }
}

/// Resolves the escapes of a string that was checked. Half a surrogate pair becomes U+FFFD.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    // Neither `find` nor `split_at`: what they may panic with weighs two kilobytes.
    while let Some((plain, escape)) =
        rest.bytes().position(|byte| byte == b'\\').and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(plain);
        let mut scanner = Scanner { at: 2, ..Scanner::new(escape) };
        match escape.as_bytes().get(1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let mut unit = scanner.hex().unwrap_or(0xfffd);
                if (0xd800..0xdc00).contains(&unit) && escape.get(6..8) == Some("\\u") {
                    let mut second = Scanner { at: 8, ..Scanner::new(escape) };
                    let low = second.hex().unwrap_or(0);
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        scanner.at = second.at;
                    }
                }
                out.push(char::from_u32(unit).unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(char::from(*other)),
            None => {}
        }
        rest = escape.get(scanner.at..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

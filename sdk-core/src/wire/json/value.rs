//! How each kind of field stands in JSON: one trait, both directions.
//!
//! A zero value is left out of an object; a null counts as absent. Integers are bounded on the way in, so
//! nothing above [`MAX_SAFE_INTEGER`] reaches a program that could not hold it.

use super::scanner::{DecodeError, Kind, Scanner};
use crate::wire::{MAX_SAFE_INTEGER, Raw, Text};
use alloc::{string::String, vec::Vec};

pub(crate) trait Value<'a>: Sized {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError>;
    fn encode(&self, out: &mut String);
    fn is_zero(&self) -> bool;
}

/// Writes the fields of one object.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut String,
    first: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn new(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        push_text(key, self.out);
        self.out.push(':');
        self.out
    }

    pub(crate) fn field<'a>(&mut self, key: &str, value: &impl Value<'a>) {
        if !value.is_zero() {
            value.encode(self.key(key));
        }
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

pub(crate) fn push_text(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "\\u00",
            _ => continue,
        };
        out.push_str(text.get(from..at).unwrap_or_default());
        out.push_str(escape);
        if escape.len() == 4 {
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

pub(crate) fn push_integer(negative: bool, mut magnitude: u64, out: &mut String) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + (magnitude % 10) as u8;
        }
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        out.push('-');
    }
    out.extend(digits.iter().skip(at).copied().map(char::from));
}

fn bounded<T: TryFrom<i128>>(scanner: &mut Scanner<'_>) -> Result<T, DecodeError> {
    let before = scanner.error(Kind::Number);
    if scanner.null()? {
        return T::try_from(0).map_err(|_| before);
    }
    let (negative, magnitude) = scanner.integer()?;
    if magnitude > MAX_SAFE_INTEGER {
        return Err(before);
    }
    let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    T::try_from(value).map_err(|_| before)
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl<'a> Value<'a> for $type {
            fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
                bounded(scanner)
            }
            fn encode(&self, out: &mut String) {
                push_integer(i128::from(*self) < 0, i128::from(*self).unsigned_abs() as u64, out);
            }
            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )+};
}
integers!(u32, u64, i32, i64);

impl<'a> Value<'a> for bool {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        if scanner.null()? { Ok(false) } else { scanner.boolean() }
    }
    fn encode(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
    fn is_zero(&self) -> bool {
        !*self
    }
}

impl<'a> Value<'a> for Text<'a> {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        if scanner.null()? { Ok(Text::Borrowed("")) } else { scanner.text() }
    }
    fn encode(&self, out: &mut String) {
        push_text(self, out);
    }
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A payload; `null` is a payload like any other.
impl<'a> Value<'a> for Option<Raw<'a>> {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        scanner.raw().map(|text| Some(Raw::trusted(text)))
    }
    fn encode(&self, out: &mut String) {
        if let Some(raw) = self {
            out.push_str(raw.as_str());
        }
    }
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

/// An object that is there or not; one that is there is written even when it is empty.
pub(crate) trait Object {}

impl<'a, T: Object + Value<'a>> Value<'a> for Option<T> {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        if scanner.null()? { Ok(None) } else { T::decode(scanner).map(Some) }
    }
    fn encode(&self, out: &mut String) {
        if let Some(value) = self {
            value.encode(out);
        }
    }
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<'a, T: Item<'a>> Value<'a> for Vec<T> {
    fn decode(scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        let mut items = Self::new();
        if !scanner.null()? {
            T::decode_all(scanner, &mut items)?;
        }
        Ok(items)
    }
    fn encode(&self, out: &mut String) {
        T::encode_all(self, out);
    }
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// What a list holds: values (an array) or pairs (an object used as a map, in its order).
pub(crate) trait Item<'a>: Sized {
    fn decode_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Result<(), DecodeError>;
    fn encode_all(items: &[Self], out: &mut String);
}

fn decode_array<'a, T: Value<'a>>(scanner: &mut Scanner<'a>, items: &mut Vec<T>) -> Result<(), DecodeError> {
    scanner.array(&mut |scanner| {
        items.push(T::decode(scanner)?);
        Ok(())
    })
}

fn encode_array<'a, T: Value<'a>>(items: &[T], out: &mut String) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item.encode(out);
    }
    out.push(']');
}

impl<'a, T: Object + Value<'a>> Item<'a> for T {
    fn decode_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Result<(), DecodeError> {
        decode_array(scanner, items)
    }
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a> Item<'a> for Text<'a> {
    fn decode_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Result<(), DecodeError> {
        decode_array(scanner, items)
    }
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a, T: Value<'a>> Item<'a> for (Text<'a>, T) {
    fn decode_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Result<(), DecodeError> {
        scanner.object(&mut |scanner, key| {
            items.push((key, T::decode(scanner)?));
            Ok(true)
        })
    }
    fn encode_all(items: &[Self], out: &mut String) {
        let mut writer = ObjectWriter::new(out);
        for (key, value) in items {
            value.encode(writer.key(key));
        }
        writer.end();
    }
}

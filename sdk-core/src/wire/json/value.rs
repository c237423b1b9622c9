//! How each kind of field stands in JSON: one trait, both directions.
//!
//! A zero value is left out of an object; a null counts as absent. Integers are bounded on the way in, so
//! nothing above [`MAX_SAFE_INTEGER`] reaches a program that could not hold it.

use super::scanner::{Kind, Scanner, Step};
use crate::wire::{MAX_SAFE_INTEGER, Raw, Text};
use alloc::{string::String, vec::Vec};

pub(crate) trait Value<'a>: Sized {
    /// Reads into a value that is zero.
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step;
    fn encode(&self, out: &mut String);
    fn is_zero(&self) -> bool;
}

/// Reads a value that nobody holds yet.
pub(crate) fn fresh<'a, T: Value<'a> + Default>(scanner: &mut Scanner<'a>) -> Step<T> {
    let mut value = T::default();
    value.read(scanner)?;
    Some(value)
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

fn bounded(scanner: &mut Scanner<'_>, least: i64, most: i64) -> Step<i64> {
    let start = scanner.at();
    if scanner.null()? {
        return Some(0);
    }
    let (negative, magnitude) = scanner.integer()?;
    let value = i64::try_from(magnitude).map(|value| if negative { -value } else { value });
    match value {
        Ok(value) if (least..=most).contains(&value) => Some(value),
        _ => scanner.fail_at(start, Kind::Number),
    }
}

const LARGEST: i64 = MAX_SAFE_INTEGER as i64;

macro_rules! integers {
    ($($type:ty: $least:expr, $most:expr);+) => {$(
        impl<'a> Value<'a> for $type {
            fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
                *self = bounded(scanner, $least, $most)? as $type;
                Some(())
            }
            fn encode(&self, out: &mut String) {
                push_integer(self.cmp(&0).is_lt(), self.abs_diff(0).into(), out);
            }
            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )+};
}
integers!(
    u32: 0, u32::MAX as i64;
    u64: 0, LARGEST;
    i32: i32::MIN as i64, i32::MAX as i64;
    i64: -LARGEST, LARGEST
);

impl<'a> Value<'a> for bool {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = !scanner.null()? && scanner.boolean()?;
        Some(())
    }
    fn encode(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
    fn is_zero(&self) -> bool {
        !*self
    }
}

impl<'a> Value<'a> for Text<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = if scanner.null()? { Text::Borrowed("") } else { scanner.text()? };
        Some(())
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
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = Some(Raw::trusted(scanner.raw()?));
        Some(())
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

impl<'a, T: Object + Value<'a> + Default> Value<'a> for Option<T> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        if scanner.null()? {
            *self = None;
            return Some(());
        }
        self.insert(T::default()).read(scanner)
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
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        self.clear();
        if scanner.null()? { Some(()) } else { T::read_all(scanner, self) }
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
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step;
    fn encode_all(items: &[Self], out: &mut String);
}

fn read_array<'a, T: Value<'a> + Default>(scanner: &mut Scanner<'a>, items: &mut Vec<T>) -> Step {
    scanner.array(&mut |scanner| {
        items.push(fresh(scanner)?);
        Some(())
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

impl<'a, T: Object + Value<'a> + Default> Item<'a> for T {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        read_array(scanner, items)
    }
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a> Item<'a> for Text<'a> {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        read_array(scanner, items)
    }
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a, T: Value<'a> + Default> Item<'a> for (Text<'a>, T) {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        scanner.object(&mut |scanner, key| {
            items.push((key, fresh(scanner)?));
            Some(())
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

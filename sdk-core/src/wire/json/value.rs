//! How each kind of field stands in JSON, in both directions.
//!
//! A zero value is left out of an object; a null counts as absent. Integers are bounded on the way in, so
//! nothing above [`MAX_SAFE_INTEGER`] reaches a program that could not hold it. The directions are two traits,
//! and fields are handed around as `dyn`: so the browser's module has one loop for all objects, and of each type
//! no more than the direction that a client needs.

use super::scanner::{Kind, Scanner, Step};
use crate::wire::{MAX_SAFE_INTEGER, Raw, Text};
use alloc::{string::String, vec::Vec};

/// Can be read.
pub(crate) trait Decode<'a> {
    /// Reads into a value that is zero.
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step;
}

/// Can be written.
pub(crate) trait Encode {
    fn encode(&self, out: &mut String);
}

/// Can be written, and left out where it stands in an object and says nothing.
pub(crate) trait EncodeField: Encode {
    fn is_zero(&self) -> bool;
}

/// An object with a fixed set of fields.
pub(crate) trait Fields<'a> {
    /// The field at an index in the list of names.
    fn field(&mut self, at: usize) -> Option<&mut dyn Decode<'a>>;
}

/// Reads an object; what is not among `names` is passed over. A null counts as an object without fields.
pub(crate) fn read_fields<'a>(
    names: &[&str],
    object: &mut dyn Fields<'a>,
    scanner: &mut Scanner<'a>,
) -> Step {
    if scanner.null()? {
        return Some(());
    }
    scanner.object(&mut |scanner, key| {
        let at = names.iter().position(|name| *name == key);
        match at.and_then(|at| object.field(at)) {
            Some(field) => field.read(scanner),
            None => scanner.skip_value(),
        }
    })
}

/// Reads a value that nobody holds yet.
pub(crate) fn fresh<'a, T: Decode<'a> + Default>(scanner: &mut Scanner<'a>) -> Step<T> {
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

    pub(crate) fn field(&mut self, key: &str, value: &dyn EncodeField) {
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
        impl<'a> Decode<'a> for $type {
            fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
                *self = bounded(scanner, $least, $most)? as $type;
                Some(())
            }
        }
        impl Encode for $type {
            fn encode(&self, out: &mut String) {
                push_integer(self.cmp(&0).is_lt(), self.abs_diff(0).into(), out);
            }
        }

        impl EncodeField for $type {
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

impl<'a> Decode<'a> for bool {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = !scanner.null()? && scanner.boolean()?;
        Some(())
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl EncodeField for bool {
    fn is_zero(&self) -> bool {
        !*self
    }
}

impl<'a> Decode<'a> for Text<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = if scanner.null()? { Text::Borrowed("") } else { scanner.text()? };
        Some(())
    }
}

impl Encode for Text<'_> {
    fn encode(&self, out: &mut String) {
        push_text(self, out);
    }
}

impl EncodeField for Text<'_> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A payload; `null` is a payload like any other.
impl<'a> Decode<'a> for Option<Raw<'a>> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        *self = Some(Raw::trusted(scanner.raw()?));
        Some(())
    }
}

impl Encode for Option<Raw<'_>> {
    fn encode(&self, out: &mut String) {
        if let Some(raw) = self {
            out.push_str(raw.as_str());
        }
    }
}

impl EncodeField for Option<Raw<'_>> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

/// An object that is there or not; one that is there is written even when it is empty.
impl<'a, T: Fields<'a> + Decode<'a> + Default> Decode<'a> for Option<T> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        if scanner.null()? {
            *self = None;
            return Some(());
        }
        self.insert(T::default()).read(scanner)
    }
}

impl<'a, T: Fields<'a> + Encode> Encode for Option<T> {
    fn encode(&self, out: &mut String) {
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<'a, T: Fields<'a> + Encode> EncodeField for Option<T> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<'a, T: DecodeItem<'a>> Decode<'a> for Vec<T> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Step {
        self.clear();
        if scanner.null()? { Some(()) } else { T::read_all(scanner, self) }
    }
}

impl<T: EncodeItem> Encode for Vec<T> {
    fn encode(&self, out: &mut String) {
        T::encode_all(self, out);
    }
}

impl<T: EncodeItem> EncodeField for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// What a list holds: values (an array) or pairs (an object used as a map, in its order).
pub(crate) trait DecodeItem<'a>: Sized {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step;
}

/// The same for writing.
pub(crate) trait EncodeItem: Sized {
    fn encode_all(items: &[Self], out: &mut String);
}

fn read_array<'a, T: Decode<'a> + Default>(scanner: &mut Scanner<'a>, items: &mut Vec<T>) -> Step {
    scanner.array(&mut |scanner| {
        items.push(T::default());
        items.last_mut()?.read(scanner)
    })
}

fn encode_array<T: Encode>(items: &[T], out: &mut String) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item.encode(out);
    }
    out.push(']');
}

impl<'a, T: Fields<'a> + Decode<'a> + Default> DecodeItem<'a> for T {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        read_array(scanner, items)
    }
}

impl<'a, T: Fields<'a> + Encode> EncodeItem for T {
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a> DecodeItem<'a> for Text<'a> {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        read_array(scanner, items)
    }
}

impl EncodeItem for Text<'_> {
    fn encode_all(items: &[Self], out: &mut String) {
        encode_array(items, out);
    }
}

impl<'a, T: Decode<'a> + Default> DecodeItem<'a> for (Text<'a>, T) {
    fn read_all(scanner: &mut Scanner<'a>, items: &mut Vec<Self>) -> Step {
        scanner.object(&mut |scanner, key| {
            items.push((key, T::default()));
            items.last_mut()?.1.read(scanner)
        })
    }
}

impl<T: Encode> EncodeItem for (Text<'_>, T) {
    fn encode_all(items: &[Self], out: &mut String) {
        let mut writer = ObjectWriter::new(out);
        for (key, value) in items {
            value.encode(writer.key(key));
        }
        writer.end();
    }
}

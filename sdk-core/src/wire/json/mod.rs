//! The JSON form of the frames: objects, one behind the other, in either direction.
//!
//! Owns the mapping between the wire types and JSON text: one table of fields per type serves decoding and
//! encoding. Never allocates for a payload, never recurses on what a peer sent, never panics on any input.

mod fields;
mod scanner;
mod value;
mod verbs;

pub(crate) use fields::object;
pub use scanner::DecodeError;
pub(crate) use scanner::{Scanner, Step};
pub(crate) use value::{Decode, Encode, EncodeField, Fields, ObjectWriter, read_fields};

use super::{Command, Publication, Raw, Reply};
use alloc::string::String;

/// Checks that `text` is one JSON value, white space around it allowed.
///
/// # Errors
/// Where and why it is not.
pub fn check(text: &str) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(text);
    scanner.skip_value().and_then(|()| scanner.end()).ok_or(scanner.failure())
}

/// The commands of one client frame, in order.
#[must_use]
pub const fn commands(frame: &str) -> Commands<'_> {
    Commands { scanner: Scanner::new(frame) }
}

/// The replies of one server frame, in order.
#[must_use]
pub const fn replies(frame: &str) -> Replies<'_> {
    Replies { scanner: Scanner::new(frame) }
}

/// See [`commands`]. Ends behind the first error: what follows a malformed command cannot be trusted.
#[derive(Debug)]
pub struct Commands<'a> {
    scanner: Scanner<'a>,
}

/// See [`replies`]. Ends behind the first error: what follows a malformed reply cannot be trusted.
#[derive(Debug)]
pub struct Replies<'a> {
    scanner: Scanner<'a>,
}

impl<'a> Commands<'a> {
    /// What has not been read yet: nothing behind the last command, nothing behind an error.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.scanner.rest()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scanner.next_document(verbs::decode_command)
    }
}

impl<'a> Iterator for Replies<'a> {
    type Item = Result<Reply<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scanner.next_document(verbs::decode_reply)
    }
}

/// Appends one command to `out`; the caller puts `\n` between commands.
pub fn encode_command(command: &Command<'_>, out: &mut String) {
    verbs::encode_command(command, out);
}

/// Appends one reply to `out`; the caller puts `\n` between replies.
pub fn encode_reply(reply: &Reply<'_>, out: &mut String) {
    verbs::encode_reply(reply, out);
}

/// Reads one value that stands alone.
pub(crate) fn decode<'a, T: Decode<'a> + Default>(text: &'a str) -> Result<T, DecodeError> {
    let mut scanner = Scanner::new(text);
    let value = value::fresh(&mut scanner).filter(|_| scanner.end().is_some());
    value.ok_or(scanner.failure())
}

/// Appends one publication on its own, as a server stores it.
pub fn encode_publication(publication: &Publication<'_>, out: &mut String) {
    publication.encode(out);
}

/// Reads back what [`encode_publication`] wrote.
///
/// # Errors
/// Where and why `text` is not a publication.
pub fn decode_publication(text: &str) -> Result<Publication<'_>, DecodeError> {
    let mut scanner = Scanner::new(text);
    let publication = value::fresh(&mut scanner).filter(|_| scanner.end().is_some());
    publication.ok_or(scanner.failure())
}

/// Appends a whole number to `out`.
pub fn encode_number(number: u64, out: &mut String) {
    value::push_integer(false, number, out);
}

/// Appends `text` to `out` as a JSON string.
pub fn encode_text(text: &str, out: &mut String) {
    value::push_text(text, out);
}

/// The items of a JSON array of texts.
///
/// # Errors
/// Where and why `raw` is not such an array.
pub fn text_list(raw: Raw<'_>) -> Result<alloc::vec::Vec<super::Text<'_>>, DecodeError> {
    let mut scanner = Scanner::new(raw.as_str());
    value::fresh(&mut scanner).ok_or(scanner.failure())
}

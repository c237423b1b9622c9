//! Everything that can go wrong, in one table: number, name, whether a retry helps, what happened and what
//! to do. The documents' table and the TypeScript side are generated from it.

use crate::wire;
use alloc::boxed::Box;
use core::fmt;

macro_rules! errors {
    ($($(#[$meta:meta])* $variant:ident = $code:literal, $name:literal, $retry:ident, $what:literal, $next:literal;)+) => {
        /// A kind of error. The numbers are stable; they are those of the wire from 100 on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode { $(#[doc = $what] $variant = $code,)+ }

        impl ErrorCode {
            /// All of them, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number.
            #[must_use]
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// What the client itself needs of each, in one table: three matches weigh three times as much.
            const ROWS: &'static [Row] = &[$(Row { code: Self::$variant, name: $name, retryable: errors!(@$retry) }),+];

            /// The name, as it stands in TypeScript and in the documents.
            #[must_use]
            pub fn name(self) -> &'static str {
                Self::row(self.number()).map_or("", |row| row.name)
            }

            /// Whether the same call may succeed later.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                Self::row(self.number()).is_some_and(|row| row.retryable)
            }

            /// What happened, and why.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)+ }
            }

            /// What to do next.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Self::$variant => $next,)+ }
            }

            /// The one with this number.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                Self::row(number).map(|row| row.code)
            }

            fn row(number: u32) -> Option<&'static Row> {
                Self::ROWS.iter().find(|row| row.code.number() == number)
            }
        }
    };
    (@retry) => { true };
    (@stop) => { false };
}

struct Row {
    code: ErrorCode,
    name: &'static str,
    retryable: bool,
}

errors! {
    NotSent = 10, "not_sent", retry, "the call waited for a connection until its deadline and was never sent", "try again when the client is connected";
    OutcomeUnknown = 11, "outcome_unknown", stop, "the call was sent, but no answer came before its deadline or the loss of the connection", "look at the channel's history before sending it again";
    Cancelled = 12, "cancelled", stop, "the call was cancelled by the app", "nothing";
    Closed = 13, "closed", stop, "the client was closed", "make a new client";
    Disconnected = 14, "disconnected", retry, "the app disconnected while the call was waiting to be sent", "call connect() and try again";
    QueueFull = 15, "queue_full", retry, "too much is waiting to be sent or answered", "wait until some has settled, or discard some";
    MessageTooLarge = 16, "message_too_large", stop, "the message is larger than the server takes", "send a smaller message";
    InvalidPayload = 17, "invalid_payload", stop, "the payload is not JSON", "pass a value that JSON can express";
    InvalidChannel = 18, "invalid_channel", stop, "the channel name is empty, too long or not ASCII", "use 1 to 255 printable ASCII characters";
    OptionsConflict = 19, "options_conflict", stop, "another handle of this channel has other options", "use the same options for all handles of a channel";
    MissingCapability = 20, "missing_capability", stop, "this server does not offer what the call needs", "use a server that lists the capability";
    Protocol = 21, "protocol", retry, "the server sent something that the protocol does not allow", "the client reconnects by itself; report it if it repeats";
    ConnectFailed = 22, "connect_failed", retry, "no socket to the server could be opened", "the client tries again by itself; check the address and the network";
    ConnectTimedOut = 23, "connect_timed_out", retry, "the server did not complete the connection in time", "the client tries again by itself";
    ConnectionLost = 24, "connection_lost", retry, "the socket was closed", "the client reconnects by itself";
    Silent = 25, "silent", retry, "nothing came from the server for too long", "the client reconnects by itself";
    TokenFailed = 26, "token_failed", retry, "the token provider failed or did not answer in time", "the client asks again by itself; check the provider";
    TokenForbidden = 27, "token_forbidden", stop, "the token provider said that this user is not allowed, or the server refused the only token there is", "sign in again, then call connect() or join the channel again";
    Unsubscribed = 28, "unsubscribed", stop, "the handle has left its channel, or the subscription has ended for good", "make a new handle";
    SubscribeTimedOut = 29, "subscribe_timed_out", retry, "the server did not answer a subscribe or unsubscribe in time", "the client reconnects by itself";
    EndpointFailed = 30, "endpoint_failed", retry, "the endpoint resolver failed or did not answer in time", "the client asks again by itself; check the resolver";
    HandlerFailed = 31, "handler_failed", stop, "a handler of the app threw", "see the cause";
    Panicked = 32, "panicked", stop, "the client has a defect and is dead", "make a new client and report the text";
    LoadFailed = 33, "load_failed", retry, "the WebAssembly module could not be loaded", "see the address, status and content type in the message";
    CspBlocked = 34, "csp_blocked", stop, "the page's content security policy forbids WebAssembly", "add 'wasm-unsafe-eval' to script-src";
    Unsupported = 35, "unsupported", stop, "this environment lacks what the client needs", "pass the missing part in the options";
    InvalidOption = 36, "invalid_option", stop, "an option has a value that makes no sense", "see the message";
    ClosedByServer = 37, "closed_by_server", stop, "the server ended the connection for good", "see the code and reason; call connect() after mending it";
    Probed = 38, "probed", retry, "the connection did not survive a sleep or a change of network", "the client reconnects by itself";
    OutboxExpired = 39, "outbox_expired", retry, "the message waited in the outbox longer than its age limit and was never sent", "retry or discard it";
    AlreadySent = 40, "already_sent", stop, "the message was handed to a socket and can be neither changed nor taken back", "wait until it settles";
    NotInOutbox = 41, "not_in_outbox", stop, "the message has left the outbox", "nothing";
    NotParked = 42, "not_parked", stop, "the message is still being sent", "wait until it settles";
    PublishTimedOut = 43, "publish_timed_out", retry, "the server did not answer a publish in time", "the client reconnects and asks again by itself";
    StorageFailed = 44, "storage_failed", retry, "the durable storage cannot be used, so messages are kept in memory only", "see the message; free space or allow storage, then reload";
    StorageFromFuture = 45, "storage_from_future", stop, "the stored data was written by a newer version of the SDK and is left untouched", "use that version";
    StorageDamaged = 46, "storage_damaged", stop, "some stored records cannot be read; they are left where they are and everything else was taken over", "report it; erase the storage to be rid of them";
    WrongUser = 47, "wrong_user", stop, "the server says that this is another user: what belongs to the former one stays in their storage", "pass the user who is signed in";
    Restarted = 48, "restarted", retry, "the client had a defect and was built anew; what only its memory held is gone, what was stored goes on", "try again; report the text";
    NotErased = 49, "not_erased", retry, "the stored data may still be there", "see the message";
    Internal = 100, "internal", retry, "the server failed", "try again";
    Unauthorized = 101, "unauthorized", stop, "the server wants other credentials", "check the token";
    UnknownChannel = 102, "unknown_channel", stop, "the channel's namespace is not configured on the server", "check the name or configure the namespace";
    PermissionDenied = 103, "permission_denied", stop, "the server does not allow this", "check the namespace's options and the token";
    MethodNotFound = 104, "method_not_found", stop, "the server has no such method", "check the name";
    AlreadySubscribed = 105, "already_subscribed", stop, "this connection has the channel already", "nothing";
    LimitExceeded = 106, "limit_exceeded", stop, "a limit of the server was exceeded", "see the message";
    BadRequest = 107, "bad_request", stop, "the server could not make sense of the call", "see the message";
    NotAvailable = 108, "not_available", stop, "the channel does not offer this", "check the namespace's options";
    TokenExpired = 109, "token_expired", retry, "the token has expired", "the client asks for a new one where it has a provider";
    Expired = 110, "expired", retry, "the connection or subscription has expired", "get a new token";
    TooManyRequests = 111, "too_many_requests", retry, "too many calls in a short time", "wait, then try again";
    UnrecoverablePosition = 112, "unrecoverable_position", stop, "the position belongs to data that the server no longer has", "read from the start";
    ConcurrentPagination = 113, "concurrent_pagination", retry, "another page of the same list is under way", "try again";
    Fenced = 300, "fenced", stop, "another instance of the app goes on with this producer and sends its messages", "nothing";
    NumberTaken = 301, "number_taken", stop, "the number went to another message", "the client renumbers by itself";
    OutOfOrder = 302, "out_of_order", stop, "a message before this one is missing", "the client renumbers by itself";
    UnknownProducer = 303, "unknown_producer", stop, "the server does not know this producer any more", "the client starts over by itself";
    Application = 400, "application", stop, "the server's application refused the call", "see the code and message";
}

/// One error. Compare [`code`](Self::code); print for a developer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which kind.
    pub code: ErrorCode,
    /// The number as it came: that of `code`, the application's own, or the server's close code.
    pub number: u32,
    /// The server's or host's own words; may be empty.
    pub detail: Box<str>,
    /// What was measured against which limit, where a limit was exceeded.
    pub limit: Option<Limit>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

/// What was measured, and the most that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What was measured.
    pub actual: u64,
    /// The most that is allowed.
    pub maximum: u64,
}

impl Error {
    /// An error that its code tells whole.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            number: code.number(),
            detail: Box::default(),
            limit: None,
            retryable: code.is_retryable(),
        }
    }

    /// The same, with words of its own.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.detail = detail.into();
        self
    }

    /// An exceeded limit.
    #[must_use]
    pub fn exceeded(code: ErrorCode, actual: usize, maximum: usize) -> Self {
        let limit = Limit { actual: actual as u64, maximum: maximum as u64 };
        Self { limit: Some(limit), ..Self::new(code) }
    }

    /// What a server answered.
    #[must_use]
    pub fn from_wire(reply: &wire::ErrorReply<'_>) -> Self {
        let code = match (ErrorCode::from_number(reply.code), reply.code) {
            (Some(code), 100..) => code,
            _ => ErrorCode::Application,
        };
        let retryable = reply.temporary || (code.is_retryable() && code != ErrorCode::Application);
        Self { code, number: reply.code, detail: reply.message.as_ref().into(), limit: None, retryable }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.what())?;
        if let Some(limit) = self.limit {
            write!(f, " ({} of at most {})", limit.actual, limit.maximum)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, "; {} [{} {}]", self.code.next(), self.number, self.code.name())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn numbers_and_names_are_unique_and_every_text_says_something() {
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert!(!code.what().is_empty() && !code.next().is_empty());
            for other in ErrorCode::ALL.iter().skip(at + 1) {
                assert!(code.number() < other.number() && code.name() != other.name());
            }
        }
    }

    #[test]
    fn every_code_of_the_wire_has_its_own() {
        for code in wire::ErrorCode::ALL {
            let reply = wire::ErrorReply { code: code.code(), ..Default::default() };
            assert_eq!(Error::from_wire(&reply).code.number(), code.code());
        }
        let reply = wire::ErrorReply {
            code: 777,
            message: "no such book".into(),
            temporary: true,
            ..Default::default()
        };
        let error = Error::from_wire(&reply);
        assert_eq!((error.code, error.number, error.retryable), (ErrorCode::Application, 777, true));
    }

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let error = Error::exceeded(ErrorCode::MessageTooLarge, 70_000, 65_536);
        assert_eq!(
            error.to_string(),
            "the message is larger than the server takes (70000 of at most 65536); send a smaller message [16 message_too_large]"
        );
    }
}

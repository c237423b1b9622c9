//! The numbers of the protocol, each with the words that go with it.

macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum $name { $($(#[$inner])* $variant = $code,)+ }

        impl $name {
            /// All of them, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u32 {
                self as u32
            }

            /// The words on the wire.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The one with this number.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Why a command was refused. 400 to 1999 belong to the application.
    ErrorCode {
        /// Something failed on the server; try again.
        Internal = 100, "internal server error";
        /// Not allowed without other credentials.
        Unauthorized = 101, "unauthorized";
        /// The channel's namespace is not configured.
        UnknownChannel = 102, "unknown channel";
        /// Not allowed.
        PermissionDenied = 103, "permission denied";
        /// No such method.
        MethodNotFound = 104, "method not found";
        /// Subscribed already.
        AlreadySubscribed = 105, "already subscribed";
        /// Above a limit.
        LimitExceeded = 106, "limit exceeded";
        /// The command makes no sense.
        BadRequest = 107, "bad request";
        /// The channel does not offer that.
        NotAvailable = 108, "not available";
        /// The token has expired; come back with a fresh one.
        TokenExpired = 109, "token expired";
        /// The connection or subscription has expired.
        Expired = 110, "expired";
        /// Too many; slow down.
        TooManyRequests = 111, "too many requests";
        /// The position cannot be recovered from.
        UnrecoverablePosition = 112, "unrecoverable position";
        /// Another page of the same list is under way.
        ConcurrentPagination = 113, "concurrent pagination";
        /// A later session of the same producer has published.
        Fenced = 300, "fenced";
        /// The number belongs to another message.
        NumberTaken = 301, "number taken";
        /// A number before this one is missing.
        OutOfOrder = 302, "out of order";
        /// The producer has no record, or none any more.
        UnknownProducer = 303, "unknown producer";
    }
}

impl ErrorCode {
    /// Whether the same command may succeed later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination)
    }
}

codes! {
    /// Why a server ended a subscription.
    UnsubscribeCode {
        /// The server's application did it.
        Server = 2000, "server unsubscribe";
        /// The server's state is behind; subscribe again.
        InsufficientState = 2500, "insufficient state";
        /// The subscription's token has expired; subscribe again.
        Expired = 2501, "subscription expired";
        /// The server dropped its state; subscribe again.
        StateInvalidated = 2502, "state invalidated";
    }
}

codes! {
    /// Why a server closes a connection: the WebSocket close code.
    DisconnectCode {
        /// Closed by the client's wish.
        ConnectionClosed = 3000, "connection closed";
        /// The server goes away.
        Shutdown = 3001, "shutdown";
        /// The server failed.
        ServerError = 3004, "internal server error";
        /// The connection's token has expired.
        Expired = 3005, "connection expired";
        /// A subscription's token has expired.
        SubscriptionExpired = 3006, "subscription expired";
        /// The client reads too slowly.
        Slow = 3008, "slow";
        /// Writing to the client failed.
        WriteError = 3009, "write error";
        /// The server's state is behind.
        InsufficientState = 3010, "insufficient state";
        /// The server's application wants a fresh connection.
        ForceReconnect = 3011, "force reconnect";
        /// The client did not answer a ping.
        NoPong = 3012, "no pong";
        /// Too many commands.
        TooManyRequests = 3013, "too many requests";
        /// The server dropped its state.
        StateInvalidated = 3014, "state invalidated";
        /// The token is not valid.
        InvalidToken = 3500, "invalid token";
        /// The frame makes no sense.
        BadRequest = 3501, "bad request";
        /// No connect command in time.
        Stale = 3502, "stale";
        /// The server's application ended it.
        ForceDisconnect = 3503, "force disconnect";
        /// Too many connections.
        ConnectionLimit = 3504, "connection limit";
        /// Too many channels.
        ChannelLimit = 3505, "channel limit";
        /// Another protocol than the endpoint's.
        InappropriateProtocol = 3506, "inappropriate protocol";
        /// Not allowed.
        PermissionDenied = 3507, "permission denied";
        /// Not offered.
        NotAvailable = 3508, "not available";
        /// Too many refused commands.
        TooManyErrors = 3509, "too many errors";
    }
}

/// Whether a WebSocket close code tells the client not to come back. 1009 (message too large) does too: the
/// same message would be sent again. 3502 (nothing was said for too long) does not: a machine that slept while it
/// connected finds it when it wakes.
#[must_use]
pub const fn closes_for_good(code: u32) -> bool {
    matches!(code, 3500..=3501 | 3503..=3999 | 4500..=4999 | 1009)
}

/// Whether an unsubscribe code tells the client to subscribe again.
#[must_use]
pub const fn resubscribes(code: u32) -> bool {
    code >= 2500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.code()), Some(*code));
        }
        for code in DisconnectCode::ALL {
            assert_eq!(DisconnectCode::from_code(code.code()), Some(*code));
            let is_stale = *code == DisconnectCode::Stale;
            assert_eq!(closes_for_good(code.code()), code.code() >= 3500 && !is_stale);
        }
        for code in UnsubscribeCode::ALL {
            assert_eq!(resubscribes(code.code()), code.code() >= 2500);
        }
        assert_eq!(ErrorCode::from_code(99), None);
    }
}

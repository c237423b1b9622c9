//! What the page can tell the module, by number. All verbs share one export: each export of its own cost 0.7 kB
//! of module and 0.3 kB of glue before compression. js/src/verbs.generated.ts is written from this table.

macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal;)+) => {
        /// A verb; what stands behind it are its `one`, `two`, `number` and `offset`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $($(#[doc = $doc])* $name = $number,)+
        }

        impl Verb {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The verb of a number.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name in TypeScript, and what it takes.
            #[must_use]
            pub const fn described(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => (stringify!($name), concat!($($doc),*)),)+
                }
            }
        }
    };
}

verbs! {
    /// Wants to be connected.
    Connect = 0;
    /// Wants to be disconnected.
    Disconnect = 1;
    /// Ends the client; calls under way may settle for `number` milliseconds. `offset` not 0: what is stored is erased.
    Close = 2;
    /// One more interest in the channel `one`. `two`: token, data and epoch, one a line. `number`: 1 provides tokens, 2 positioned, 4 recoverable, 8 joins and leaves, 16 recovery of the newest only, 32 durable. Gives the handle; the module then says how the channel stands.
    Subscribe = 3;
    /// Gives the handle `number` up.
    Unsubscribe = 4;
    /// Publishes the JSON `two`. `one`: the channel and the message's id, one a line. `number`: 1 ephemeral.
    Publish = 5;
    /// Asks for a page of the channel `one`, of `number` messages behind (epoch `two`, `offset`); without an epoch from its beginning.
    History = 6;
    /// The same from newer to older.
    HistoryReverse = 7;
    /// Asks who is in the channel `one`.
    Presence = 8;
    /// Asks how many are in the channel `one`.
    PresenceStats = 9;
    /// Calls the procedure `one` with the JSON `two`.
    Rpc = 10;
    /// Sends the JSON `two` without an answer.
    Send = 11;
    /// Stops waiting for the call `number`.
    Cancel = 12;
    /// The token `one` for the question `number`.
    TokenProvided = 13;
    /// No token for the question `number`, because of `one`.
    TokenFailed = 14;
    /// No token for the question `number` ever, because of `one`.
    TokenForbidden = 15;
    /// The endpoints `one`, one a line, for the question `number`.
    EndpointsResolved = 16;
    /// No endpoints for the question `number`, because of `one`.
    EndpointsFailed = 17;
    /// The frame `one`, or what is left of it, from the socket `number`.
    Frame = 18;
    /// Why the socket `number` is about to close, in the words `one` of its implementation.
    SocketFailed = 19;
    /// How much is in the outbox; with `number` 1 what, too. The module says it.
    Outbox = 20;
    /// Tells every change of the outbox (`number` 1), or none any more (0).
    Observe = 21;
    /// Puts the JSON `two` into the message `number` of the outbox.
    Edit = 22;
    /// Takes the message `number` of the outbox back, or gives it up.
    Discard = 23;
    /// Publishes the parked message `number` again, with the JSON `two` if there is one; the module says its new id.
    Retry = 24;
    /// The app has processed the channel `number` up to (epoch `one`, `offset`).
    Processed = 25;
    /// Begins with the endpoint at place `number`; a connection over another one moves there at once.
    Prefer = 26;
    /// The storage was opened and holds `one`, a JSON array of keys and values in turn; `number` not 0: it could not be, because of `two`, and this is the error's number.
    StorageOpened = 30;
    /// What a dead instance left in the storage, like the records of the verb before.
    StorageAdopted = 31;
    /// The write `number` is safe; `one` not empty: why it is not.
    Stored = 32;
}

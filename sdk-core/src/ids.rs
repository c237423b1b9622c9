//! Names for things that would otherwise be bare integers.

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident($type:ty);)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $type);

        impl crate::table::Key for $name {
            fn to_number(self) -> u32 {
                self.0
            }
            fn from_number(number: u32) -> Self {
                Self(number)
            }
        }
    )+};
}

ids! {
    /// One socket. Grows with each; what comes from an older one is dropped.
    ConnId(u32);
    /// One shared subscription, for as long as it is in the registry. Never used twice by a client.
    ChannelKey(u32);
    /// One interest in a channel, as `subscribe` gave it.
    HandleId(u32);
    /// One call that will settle.
    RequestId(u32);
    /// One message of the outbox. Never used twice by a client.
    EntryId(u32);
    /// One write to the storage.
    WriteId(u32);
    /// One question to the host for a token.
    TokenRequestId(u32);
    /// One question to the host for endpoints.
    EndpointRequestId(u32);
}

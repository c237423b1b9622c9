//! Realtime messaging that loses nothing: the client for Rust programs.
//!
//! ```no_run
//! use homing::{Decode, Delivery, RealtimeClient};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = RealtimeClient::builder("wss://example.org/connection/websocket").build()?;
//!     client.connect()?;
//!     let room = client.channel("chat:general");
//!     let mut messages = room.messages_from(50);
//!     room.publish(&"hello").await?;
//!     while let Some(delivery) = messages.next().await {
//!         match delivery? {
//!             Delivery::Message(message) => println!("{}: {}", message.offset, message.decode::<String>()?),
//!             missed => eprintln!("missed: {missed:?}"),
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What holds
//! - **Nothing by itself**: [`build`](Builder::build) opens nothing, [`connect`](RealtimeClient::connect) does,
//!   and from then on the client reconnects until it is told otherwise. Reading from a channel and
//!   [`join`](Channel::join) subscribe; publishing and asking do not.
//! - **A call settles exactly once.** [`ErrorCode::OutcomeUnknown`] means that nobody can know; any other
//!   error means that it did not happen. Dropping a [`Call`] cancels it.
//! - **A message that was accepted is not lost.** [`Channel::publish`] checks it and puts it into the
//!   [outbox](RealtimeClient::outbox), where it stays through cuts until it settles once; `Ok` means that the
//!   server has taken it. Dropping a [`Publishing`] does not cancel it. With a [storage](Builder::storage) it is
//!   stored before it is sent, and goes on in the next life of the program, exactly once and in order where the
//!   server knows producers; [`stored`](Publishing::stored) tells when.
//! - **A stream has no silent hole and no double.** What was missed during a cut is read from the channel's
//!   history and comes first; what the history has dropped is one [`Gap`]. A reader that is too slow goes on
//!   from the history, or is told what it lost.
//! - **A durable channel continues after a restart** behind the last message that the app has processed
//!   ([`Channel::durable`], [`Messages::process`]).
//! - **Everything is bounded**: messages in the outbox ([`OutboxLimits`]), calls that wait ([`Config`]), bytes that wait for the network
//!   ([`TransportOptions`]), and what waits for a reader ([`BufferLimits`]).
//! - **Every wait on the network has a deadline of its own**: connect, TLS, upgrade, silence and a stalled
//!   write. What broke is told as [`ClientEvent::Transport`].
//! - **Futures and streams are cancel-safe**: they may stand in `select!`, and a `next()` that is dropped
//!   loses nothing.
//! - **One task** drives a client. It ends with [`close`](RealtimeClient::close), or when the last handle,
//!   channel stream and pending call is dropped.
//!
//! # What survives the process
//! ```no_run
//! use homing::{Delivery, Error, FileStorage, RealtimeClient};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = RealtimeClient::builder("wss://example.org/connection/websocket")
//!     .storage(FileStorage::at("bot.redb"))
//!     .user("bot") // whom the server calls so: what is stored is there, and safe, before the connection is
//!     .build()?;
//! client.connect()?;
//! let jobs = client.channel("jobs").durable();
//! if let Some(missed) = jobs.join().await?.missed {
//!     println!("{missed} jobs came while this program was away");
//! }
//! let done = client.channel("done");
//! let work = async |delivery| {
//!     match delivery {
//!         // Accepted, it is sent whatever happens; only then the job counts as processed.
//!         Delivery::Message(job) => drop(done.publish(&job.offset).stored().await?),
//!         missed => eprintln!("{missed:?}"),
//!     }
//!     Ok::<(), Error>(())
//! };
//! jobs.messages().process(work).await?;
//! # Ok(())
//! # }
//! ```
//! What is stored belongs to a server and a user, and to one client at a time. A storage that is in use, damaged,
//! from a newer version, or that fails later is told as [`ClientEvent::Error`] and left as it is, and the client
//! goes on in memory: [`Kept`] says which. [`Storage`] is a trait of three calls; [`FileStorage`] is the one for
//! a disk.
//!
//! # Features
//! - `rustls` (default): `wss` by rustls on aws-lc-rs, whose provider is named explicitly, with Mozilla's root
//!   certificates; `native-certs` takes those of the operating system instead.
//! - `native-tls`: `wss` by the operating system's TLS. With both, rustls is used unless
//!   `Builder::native_tls` was called.
//! - None of them: `wss` needs a [`Connector`], and is a [`BuildError`] without one.
mod builder;
mod call;
mod channel;
mod client;
mod clock;
mod decode;
mod driver;
mod error;
mod outbox;
mod storage;
mod streams;
mod transport;

pub use builder::Builder;
pub use call::Call;
pub use channel::{Channel, HistoryPage, Presence, PresenceStats};
pub use client::RealtimeClient;
pub use clock::{Clock, SystemClock};
pub use decode::Decode;
pub use driver::Hint;
pub use error::{BuildError, Stage, TransportError};
pub use outbox::{Kept, Outbox, OutboxEvent, OutboxEvents, Published, Publishing};
pub use storage::{FileStorage, MemoryStorage, Storage, StorageError};
pub use streams::{BufferLimits, ChannelEvents, ClientEvent, ClientEvents, Delivery, Echo, Lagged, Messages};
pub use transport::{BoxedIo, Connector, Io, Target, TransportOptions};

pub use homing_core::{
    ChannelEvent, ClientInfo, Config, ConnectionState, EntryState, Error, ErrorCode, Gap, GapReason, Health,
    HistoryQuery, Json, Limit, Message, OutboxChange, OutboxEntry, OutboxLimits, Position, PublishOptions,
    Reason, Record, Recovery, Scope, Session, StorageOp, SubscribeOptions, Subscribed, SubscriptionSnapshot,
    SubscriptionState, TokenRefusal,
};

/// The front page's example compiles.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct FrontPage;

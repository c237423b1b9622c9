//! The client: its commands, and the two verbs in and two verbs out that a host drives it with.

use crate::{
    ChannelKey, Config, ConnId, ConnectionState, Deadline, Duration, Error, HandleId, Health, HistoryQuery,
    Input, Instant, Output, RequestId, SubscribeOptions, SubscriptionSnapshot,
};

/// One client. See the crate's front page for the loop around it.
#[derive(Debug)]
pub struct RealtimeClient {
    config: Config,
}
#[allow(unused_variables, missing_docs, clippy::todo, clippy::unused_self, reason = "being written")]
impl RealtimeClient {
    pub fn new(config: Config, entropy: [u8; 32], now: Instant) -> Self {
        Self { config }
    }
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }
    pub fn poll_timeout(&self) -> Option<Deadline> {
        todo!()
    }
    /// The fast lane: whether the publication at `offset` (0: none) is the next one of a live channel. If so
    /// the position has moved and the caller hands the message to the app at once; else nothing has changed
    /// and the frame takes the ordinary way. The caller has drained all outputs before.
    pub fn advance(&mut self, now: Instant, conn: ConnId, channel: ChannelKey, offset: u64) -> bool {
        todo!()
    }
    pub fn connect(&mut self, now: Instant) -> Result<(), Error> {
        todo!()
    }
    pub fn disconnect(&mut self, now: Instant) {
        todo!()
    }
    /// `flush`: how long calls that wait may still settle; zero: they are rejected at once.
    pub fn close(&mut self, now: Instant, flush: Duration) {
        todo!()
    }
    pub fn connection(&self) -> &ConnectionState {
        todo!()
    }
    pub fn health(&self) -> Health {
        todo!()
    }
    /// One more interest in a channel; the first one subscribes.
    pub fn subscribe(
        &mut self,
        now: Instant,
        channel: &str,
        options: &SubscribeOptions,
    ) -> Result<(HandleId, ChannelKey), Error> {
        todo!()
    }
    /// Gives an interest up; the last one leaves the channel. A second call is harmless.
    pub fn unsubscribe(&mut self, now: Instant, handle: HandleId) {
        todo!()
    }
    pub fn subscription(&self, channel: ChannelKey) -> SubscriptionSnapshot {
        todo!()
    }
    /// `data`: one JSON value as text.
    pub fn publish(&mut self, now: Instant, channel: &str, data: &str) -> Result<RequestId, Error> {
        todo!()
    }
    pub fn history(&mut self, now: Instant, channel: &str, query: &HistoryQuery) -> Result<RequestId, Error> {
        todo!()
    }
    pub fn presence(&mut self, now: Instant, channel: &str) -> Result<RequestId, Error> {
        todo!()
    }
    pub fn presence_stats(&mut self, now: Instant, channel: &str) -> Result<RequestId, Error> {
        todo!()
    }
    pub fn rpc(&mut self, now: Instant, method: &str, data: &str) -> Result<RequestId, Error> {
        todo!()
    }
    pub fn send(&mut self, now: Instant, data: &str) -> Result<RequestId, Error> {
        todo!()
    }
    /// Settles a call as cancelled; harmless if it has settled.
    pub fn cancel(&mut self, now: Instant, request: RequestId) {
        todo!()
    }
}

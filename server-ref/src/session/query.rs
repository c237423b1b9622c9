//! Reading: history, presence, its stats, and procedures.

use super::{Refusal, Session};
use crate::{
    engine::{Channel, Epoch, Page, Part, Position, Reach, Read},
    frames,
};
use homing_core::wire::{
    ErrorCode, ErrorReply, History, HistoryResult, Outcome, Presence, PresenceStats, PresenceStatsResult,
    Rpc, RpcResult,
};
use std::sync::Arc;

/// Members that one presence result lists; of a larger room the client can ask for the numbers.
const MAX_PRESENCE: u32 = 5000;

/// Bytes of publications on one page, and in one recovery: what one client may make the server hold at once.
/// A page is cut there and the client asks for the next; a recovery is refused and read page by page.
pub(super) const MAX_PAGE_BYTES: usize = 1 << 20;

impl Session {
    pub(super) fn history(&mut self, id: u32, request: &History<'_>) {
        let channel = &*request.channel;
        let namespace = match self.namespace(channel) {
            Ok(namespace) => namespace,
            Err(refusal) => return self.refuse(id, refusal),
        };
        if let Err(refusal) = self.may_read_history(&namespace, channel) {
            return self.refuse(id, refusal);
        }
        let most = self.node.config.client.history_max_publication_limit;
        let limit = u32::try_from(request.limit).unwrap_or(most).min(most);
        let (channel, reverse) = (self.shared_name(channel), request.reverse);
        let meta_ttl = namespace.retention.meta_ttl;
        let owner = self.owner();
        let read = Read { channel, since: None, limit, reverse, heard: false, owner, meta_ttl };
        match &request.since {
            // A position without an epoch stands for one in the epoch at hand.
            Some(since) if since.epoch.is_empty() => {
                let offset = since.offset;
                let call = self.node.engine.read(Read { limit: 0, ..read.clone() });
                self.then(call, move |session, page| match page {
                    Ok(page) => {
                        let since = Some(Position { offset, ..page.head });
                        session.read_history(id, Read { since, ..read });
                    }
                    Err(error) => session.refuse(id, error),
                });
            }
            Some(since) => {
                let since = Position { epoch: Epoch::from_text(&since.epoch), offset: since.offset };
                self.read_history(id, Read { since: Some(since), ..read });
            }
            None => self.read_history(id, read),
        }
    }

    fn read_history(&mut self, id: u32, read: Read) {
        let since = read.since;
        let call = self.node.engine.read(read);
        self.then(call, move |session, page| match page {
            // A position that survived into a later epoch is read from like any other.
            Ok(page)
                if page.reach == Reach::Unknown
                    && since.is_some_and(|since| since.epoch != page.head.epoch) =>
            {
                session.refuse_position(id, &page);
            }
            Ok(mut page) => {
                page.cut(MAX_PAGE_BYTES);
                session.answer_history(id, &page);
            }
            Err(error) => session.refuse(id, error),
        });
    }

    /// Where the position's epoch is remembered, the client is told where to go on in the present one.
    fn refuse_position(&mut self, id: u32, page: &Page) {
        self.node.metrics.errors.increment(1);
        let code = ErrorCode::UnrecoverablePosition;
        let mut reply =
            ErrorReply { code: code.code(), message: code.text().into(), ..ErrorReply::default() };
        if let Some(survived) = page.survived {
            reply.expected = survived + 1;
            reply.epoch = page.head.epoch.to_string().into();
        }
        self.answer(id, Outcome::Error(reply));
    }

    fn answer_history(&mut self, id: u32, page: &Page) {
        self.answer(
            id,
            Outcome::History(HistoryResult {
                publications: page.publications.iter().map(frames::wire_publication).collect(),
                epoch: page.head.epoch.to_string().into(),
                offset: page.head.offset,
            }),
        );
    }

    /// The name of a channel, shared with the subscription where there is one.
    fn shared_name(&self, channel: &str) -> Channel {
        self.subscriptions.find(channel).map_or_else(|| channel.into(), |one| Arc::clone(&one.channel))
    }

    fn presence_of(&self, channel: &str) -> Result<Channel, Refusal> {
        let namespace = self.namespace(channel)?;
        self.may_see_presence(&namespace, channel)?;
        Ok(self.shared_name(channel))
    }

    pub(super) fn presence(&mut self, id: u32, request: &Presence<'_>) {
        let channel = match self.presence_of(&request.channel) {
            Ok(channel) => channel,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let call = self.node.engine.snapshot(Part::Here, channel, MAX_PRESENCE);
        self.then(call, move |session, snapshot| match snapshot {
            Ok(snapshot) if snapshot.more => {
                let message = format!("limit exceeded: more than {MAX_PRESENCE} are present");
                session.refuse(id, Refusal::because(ErrorCode::LimitExceeded, message));
            }
            Ok(snapshot) => session.answer_frame(frames::presence_reply(id, &snapshot)),
            Err(error) => session.refuse(id, error),
        });
    }

    pub(super) fn presence_stats(&mut self, id: u32, request: &PresenceStats<'_>) {
        let channel = match self.presence_of(&request.channel) {
            Ok(channel) => channel,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let call = self.node.engine.stats(Part::Here, channel);
        self.then(call, move |session, stats| match stats {
            Ok(stats) => {
                let result = PresenceStatsResult { num_clients: stats.entries, num_users: stats.owners };
                session.answer(id, Outcome::PresenceStats(result));
            }
            Err(error) => session.refuse(id, error),
        });
    }

    pub(super) fn rpc(&mut self, id: u32, request: &Rpc<'_>) {
        let data = match self.payload(request.data) {
            Ok(data) => data,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let node = Arc::clone(&self.node);
        let Some(call) = node.procedures.call(&request.method, self.caller(), data.clone()) else {
            return match node.desk.line_of_method(&node.config, &request.method) {
                Some(line) => self.rpc_by_hook(id, line, &request.method, data),
                None => self.refuse(id, ErrorCode::MethodNotFound),
            };
        };
        self.then(call, move |session, result| match result {
            Ok(data) => {
                let result = RpcResult { data: data.as_ref().map(frames::raw) };
                session.answer(id, Outcome::Rpc(result));
            }
            Err(error) => session.refuse(id, error),
        });
    }
}

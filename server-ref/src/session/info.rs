//! What others are told of a client: beside its publications and in the presence, from its token, a hook or the
//! application. What changes there changes in both.

use super::{Identity, Session};
use crate::{engine::Channel, frames};
use bytes::Bytes;
use homing_core::wire::{self, ClientInfo, Raw};
use std::sync::Arc;

impl Session {
    /// What publications to a channel say of this client: `{"info":{…}}`.
    pub(super) fn meta(&self, chan_info: Option<&str>) -> Bytes {
        let Some(identity) = &self.identity else { return Bytes::new() };
        match chan_info {
            None => identity.meta.clone(),
            chan_info => identity.meta_with(self.connection.client(), chan_info),
        }
    }

    /// What is told of this client is another from now on; `None`: as before.
    pub(super) fn change_info(&mut self, info: Option<Box<str>>) {
        let Some(identity) = self.identity.as_mut().filter(|one| info.is_some() && one.info != info) else {
            return;
        };
        identity.info = info;
        identity.meta = identity.meta_with(self.connection.client(), None);
        let identity = &*identity;
        let changed: Vec<(Channel, Bytes)> = self
            .subscriptions
            .iter()
            .map(|subscription| {
                let old = frames::raw(&subscription.meta).as_str();
                let old = wire::json::decode_publication(old).ok().and_then(|old| old.info);
                let chan_info = old.and_then(|info| info.chan_info).map(Raw::as_str);
                (Arc::clone(&subscription.channel), identity.meta_with(self.connection.client(), chan_info))
            })
            .collect();
        for (channel, meta) in changed {
            self.describe(&channel, meta);
        }
    }

    /// The same for one channel alone.
    pub(super) fn change_channel_info(&mut self, channel: &str, info: Option<&str>) {
        if info.is_some() {
            let meta = self.meta(info);
            self.describe(channel, meta);
        }
    }

    fn describe(&mut self, channel: &str, meta: Bytes) {
        let Some(subscription) = self.subscriptions.find_mut(channel) else { return };
        let value = frames::info_of(&meta);
        subscription.meta = meta;
        if subscription.joined {
            self.node.change_lease(&subscription.channel, self.connection.client(), value);
        }
    }
}

impl Identity {
    pub(super) fn meta_with(&self, client: &str, chan_info: Option<&str>) -> Bytes {
        let info = ClientInfo {
            user: (&*self.user).into(),
            client: client.into(),
            conn_info: self.info.as_deref().map(Raw::trusted),
            chan_info: chan_info.map(Raw::trusted),
        };
        let publication = wire::Publication { info: Some(info), ..wire::Publication::default() };
        let mut out = String::new();
        wire::json::encode_publication(&publication, &mut out);
        out.into()
    }
}

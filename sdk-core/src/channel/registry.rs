//! The channels of a client, by key and by name, and the handles that hold them.

use super::{Channel, State};
use crate::{
    ChannelKey, HandleId, Instant, Json, SubscribeOptions,
    connection::token::Refresh,
    table::Table,
    wire::{self, Text},
};
use alloc::{boxed::Box, vec::Vec};
use core::slice::{Iter, IterMut};

#[derive(Debug, Default)]
pub(crate) struct Registry {
    table: Table<ChannelKey, Channel>,
    /// Sorted by name; only what is in the table.
    names: Vec<(Box<str>, ChannelKey)>,
    handles: Table<HandleId, ChannelKey>,
    /// Unsubscribes that were not answered, by command.
    pub(crate) leaves: Table<u32, Instant>,
    last_key: u32,
    last_handle: u32,
}

impl Registry {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|(other, _)| (**other).cmp(name))
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<ChannelKey> {
        self.names.get(self.find(name).ok()?).map(|(_, key)| *key)
    }

    pub(crate) fn get(&self, key: ChannelKey) -> Option<&Channel> {
        self.table.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.table.get_mut(key)
    }

    pub(crate) fn iter(&self) -> Iter<'_, Box<Channel>> {
        self.table.values()
    }

    pub(crate) fn iter_mut(&mut self) -> IterMut<'_, Box<Channel>> {
        self.table.values_mut()
    }

    pub(crate) fn keys_where(&self, which: &mut dyn FnMut(&Channel) -> bool) -> Vec<ChannelKey> {
        self.table.keys_where(which)
    }

    /// Whether calls to this channel should wait for its subscription.
    pub(crate) fn is_joining(&self, name: &str) -> bool {
        self.by_name(name)
            .and_then(|key| self.get(key))
            .is_some_and(|channel| !channel.is_subscribed() && !matches!(channel.state, State::Ended))
    }

    /// Makes a channel that is not in the registry yet.
    pub(crate) fn add(&mut self, name: &str, options: &SubscribeOptions, server_side: bool) -> ChannelKey {
        self.last_key += 1;
        let key = ChannelKey(self.last_key);
        if let Err(at) = self.find(name) {
            self.names.insert(at, (name.into(), key));
        }
        self.table.insert(
            key,
            Channel {
                key,
                name: name.into(),
                handles: Vec::new(),
                linger: None,
                options: options.clone(),
                server_side,
                announced: false,
                state: State::Offline,
                position: options.since.clone(),
                lost: None,
                retention: None,
                data: None::<Json>,
                failures: 0,
                token: options.token.clone(),
                asked: None,
                refresh: Refresh::Never,
                renewed_at_once: false,
            },
        );
        key
    }

    pub(crate) fn remove(&mut self, key: ChannelKey) -> Option<Channel> {
        let channel = self.table.remove(key)?;
        if let Ok(at) = self.find(&channel.name) {
            self.names.remove(at);
        }
        for handle in &channel.handles {
            self.handles.remove(*handle);
        }
        Some(channel)
    }

    pub(crate) fn hold(&mut self, key: ChannelKey) -> HandleId {
        self.last_handle += 1;
        let handle = HandleId(self.last_handle);
        self.handles.insert(handle, key);
        if let Some(channel) = self.table.get_mut(key) {
            channel.handles.push(handle);
            channel.linger = None;
            channel.announced = false;
        }
        handle
    }

    /// Gives a handle back; answers with its channel if it still held one.
    pub(crate) fn release(&mut self, handle: HandleId) -> Option<ChannelKey> {
        let key = self.handles.remove(handle)?;
        let handles = &mut self.table.get_mut(key)?.handles;
        if let Some(at) = handles.iter().position(|other| *other == handle) {
            handles.remove(at);
        }
        Some(key)
    }

    pub(crate) fn clear(&mut self) {
        let (last_key, last_handle) = (self.last_key, self.last_handle);
        *self = Self { last_key, last_handle, ..Self::default() };
    }

    /// For the connect command: what the server subscribed before, with the positions to continue from.
    pub(crate) fn server_side_positions(&self) -> Vec<(Text<'_>, wire::Subscribe<'_>)> {
        let mut positions = Vec::new();
        for channel in self.iter().filter(|channel| channel.server_side) {
            if let Some(position) = &channel.position {
                let wire::Since { offset, epoch } = position.since();
                let subscribe =
                    wire::Subscribe { recover: true, offset, epoch, ..wire::Subscribe::default() };
                positions.push(((&*channel.name).into(), subscribe));
            }
        }
        positions
    }
}

//! What a channel's name means: its namespace, whether it wants a token, and which users it names.
//!
//! Built once from the configuration; sessions ask it for every command.

use crate::{
    clock::Millis,
    config::{ChannelOptions, Channels},
    engine::Retention,
};
use hashbrown::HashMap;
use homing_core::wire::{self, ErrorCode};
use regex::Regex;
use std::sync::Arc;

/// A namespace, ready for use.
#[derive(Debug)]
pub struct Namespace {
    /// As configured.
    pub options: ChannelOptions,
    /// What its channels keep.
    pub retention: Retention,
    regex: Option<Regex>,
}

/// The namespaces of a server, and how names are read.
#[derive(Debug)]
pub struct Rules {
    config: Channels,
    without: Arc<Namespace>,
    named: HashMap<String, Arc<Namespace>, foldhash::fast::RandomState>,
}

impl Namespace {
    fn new(options: &ChannelOptions, meta_ttl: Millis) -> Self {
        let own = options.history_meta_ttl.millis();
        Self {
            retention: Retention {
                size: options.history_size,
                ttl: options.history_ttl.millis(),
                meta_ttl: if own > 0 { own } else { meta_ttl },
            },
            regex: options.channel_regex.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
            options: options.clone(),
        }
    }

    /// What its channels keep, as clients are told.
    #[must_use]
    pub fn told_retention(&self) -> wire::Retention {
        wire::Retention {
            size: self.retention.size,
            ttl: u32::try_from(self.retention.ttl / 1000).unwrap_or(u32::MAX),
            cache: self.options.force_recovery_mode == crate::config::RecoveryMode::Cache,
        }
    }
}

impl Rules {
    /// The rules of a configuration that was checked.
    #[must_use]
    pub fn new(config: &Channels) -> Self {
        let meta_ttl = config.history_meta_ttl.millis();
        let named = config.namespaces.iter();
        let named =
            named.map(|named| (named.name.clone(), Arc::new(Namespace::new(&named.options, meta_ttl))));
        Self {
            without: Arc::new(Namespace::new(&config.without_namespace, meta_ttl)),
            named: named.collect(),
            config: config.clone(),
        }
    }

    /// The namespace of a channel.
    ///
    /// # Errors
    /// `BadRequest` for a name that no channel can have, `UnknownChannel` where no namespace is configured.
    pub fn namespace(&self, channel: &str) -> Result<&Arc<Namespace>, ErrorCode> {
        if self.is_impossible(channel) {
            return Err(ErrorCode::BadRequest);
        }
        let base = match &*self.config.private_prefix {
            "" => channel,
            prefix => channel.strip_prefix(prefix).unwrap_or(channel),
        };
        let (namespace, rest) = match base.split_once(&*self.config.namespace_boundary) {
            None => (&self.without, base),
            Some((name, rest)) => (self.named.get(name).ok_or(ErrorCode::UnknownChannel)?, rest),
        };
        match &namespace.regex {
            Some(regex) if !regex.is_match(rest) => Err(ErrorCode::BadRequest),
            _ => Ok(namespace),
        }
    }

    /// Whether no channel can have this name, whatever the namespaces are.
    #[must_use]
    pub fn is_impossible(&self, channel: &str) -> bool {
        let fits = !channel.is_empty() && channel.len() <= self.config.max_length;
        !fits || !channel.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    }

    /// Longest name that a channel may have, in bytes.
    #[must_use]
    pub const fn max_length(&self) -> usize {
        self.config.max_length
    }

    /// Whether a channel can only be subscribed with a token.
    #[must_use]
    pub fn wants_token(&self, channel: &str) -> bool {
        !self.config.private_prefix.is_empty() && channel.starts_with(&*self.config.private_prefix)
    }

    /// Whether a channel names its users, and `user` is one of them.
    #[must_use]
    pub fn names_user(&self, channel: &str, user: &str) -> Option<bool> {
        if self.config.user_boundary.is_empty() {
            return None;
        }
        let (_, users) = channel.rsplit_once(&*self.config.user_boundary)?;
        let separator = &*self.config.user_separator;
        let named =
            if separator.is_empty() { users == user } else { users.split(separator).any(|one| one == user) };
        Some(named && !user.is_empty())
    }
}

//! Who may do what in a channel, by the options of its namespace.

use super::{Refusal, Session};
use crate::{
    channels::Namespace,
    hooks::{Hook, Line},
};
use homing_core::wire::ErrorCode;
use std::sync::Arc;

/// Whether a subscribe command may go on.
pub(super) enum Entrance {
    Open,
    /// It depends on the command's token.
    ByToken,
    /// It depends on what a hook says.
    ByHook(Arc<Line>),
}

/// What a client may do without being subscribed, and with it.
#[derive(Clone, Copy)]
struct Grant {
    subscriber: bool,
    client: bool,
    anonymous: bool,
}

impl Session {
    pub(super) fn namespace(&self, channel: &str) -> Result<Arc<Namespace>, Refusal> {
        self.node.rules.namespace(channel).cloned().map_err(|code| match code {
            ErrorCode::BadRequest => {
                let most = self.node.rules.max_length();
                Refusal::because(code, format!("no channel can have this name (1 to {most} ASCII bytes)"))
            }
            code => code.into(),
        })
    }

    pub(super) fn may_subscribe(
        &self,
        namespace: &Namespace,
        channel: &str,
        token: &str,
    ) -> Result<Entrance, Refusal> {
        let rules = &self.node.rules;
        let insecure = self.node.config.client.insecure;
        if !token.is_empty() && (self.node.subscription_tokens.has_keys() || !insecure) {
            return Ok(Entrance::ByToken);
        }
        let options = &namespace.options;
        let user = self.user();
        let line = self.line_of(Hook::Subscribe, namespace, |options| {
            (options.subscribe_proxy_enabled, &options.subscribe_proxy_name)
        });
        if let Some(line) = line {
            // Nobody is asked about what the channel's name rules out.
            let possible =
                insecure || !rules.wants_token(channel) && rules.names_user(channel, user) != Some(false);
            return if possible {
                Ok(Entrance::ByHook(line))
            } else {
                Err(ErrorCode::PermissionDenied.into())
            };
        }
        if insecure {
            return Ok(Entrance::Open);
        }
        let open = !rules.wants_token(channel)
            && match rules.names_user(channel, user) {
                Some(named) => named && (options.allow_user_limited_channels || self.may_enter(namespace)),
                None => self.may_enter(namespace),
            };
        if open { Ok(Entrance::Open) } else { Err(ErrorCode::PermissionDenied.into()) }
    }

    fn may_enter(&self, namespace: &Namespace) -> bool {
        let options = &namespace.options;
        options.allow_subscribe_for_client
            && (!self.user().is_empty() || options.allow_subscribe_for_anonymous)
    }

    fn granted(&self, channel: &str, grant: Grant) -> Result<(), Refusal> {
        let subscribed = || self.subscriptions.find(channel).is_some_and(|one| one.is_active());
        let known = !self.user().is_empty() || grant.anonymous;
        if self.node.config.client.insecure || grant.client && known || grant.subscriber && subscribed() {
            Ok(())
        } else {
            Err(ErrorCode::PermissionDenied.into())
        }
    }

    pub(super) fn may_publish(&self, namespace: &Namespace, channel: &str) -> Result<(), Refusal> {
        let options = &namespace.options;
        self.granted(
            channel,
            Grant {
                subscriber: options.allow_publish_for_subscriber,
                client: options.allow_publish_for_client,
                anonymous: options.allow_publish_for_anonymous,
            },
        )
    }

    pub(super) fn may_read_history(&self, namespace: &Namespace, channel: &str) -> Result<(), Refusal> {
        if !namespace.retention.keeps() {
            return Err(ErrorCode::NotAvailable.into());
        }
        let options = &namespace.options;
        self.granted(
            channel,
            Grant {
                subscriber: options.allow_history_for_subscriber,
                client: options.allow_history_for_client,
                anonymous: options.allow_history_for_anonymous,
            },
        )
    }

    pub(super) fn may_see_presence(&self, namespace: &Namespace, channel: &str) -> Result<(), Refusal> {
        let options = &namespace.options;
        if !options.presence {
            return Err(ErrorCode::NotAvailable.into());
        }
        self.granted(
            channel,
            Grant {
                subscriber: options.allow_presence_for_subscriber,
                client: options.allow_presence_for_client,
                anonymous: options.allow_presence_for_anonymous,
            },
        )
    }
}

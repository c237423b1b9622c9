//! The options of a namespace, under the names that Centrifugo has for them. All are off or 0 by default.

use super::Span;
use serde::{Deserialize, Serialize};

/// What recovery brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    /// Everything that was missed.
    #[default]
    #[serde(alias = "")]
    Stream,
    /// The newest publication.
    Cache,
}

/// What the channels of a namespace keep, and who may do what in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelOptions {
    /// Keeps who is in the channel.
    pub presence: bool,
    /// Tells who comes and goes to those who ask.
    pub join_leave: bool,
    /// Tells it to all subscribers.
    pub force_push_join_leave: bool,
    /// Publications kept at most.
    pub history_size: u32,
    /// How long publications are kept after the newest.
    pub history_ttl: Span,
    /// How long the channel's head is kept; 0: `channel.history_meta_ttl`.
    pub history_meta_ttl: Span,
    /// Every subscription has a checked position.
    pub force_positioning: bool,
    /// A client may ask for a checked position.
    pub allow_positioning: bool,
    /// Every subscription can be recovered.
    pub force_recovery: bool,
    /// A client may ask for recovery.
    pub allow_recovery: bool,
    /// What recovery brings: `stream`, all that was missed (default), or `cache`, the newest publication.
    pub force_recovery_mode: RecoveryMode,
    /// Users may subscribe without a subscription token.
    pub allow_subscribe_for_client: bool,
    /// So may anonymous ones.
    pub allow_subscribe_for_anonymous: bool,
    /// Subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// Users may publish without being subscribed.
    pub allow_publish_for_client: bool,
    /// Anonymous ones may, where users may.
    pub allow_publish_for_anonymous: bool,
    /// Subscribers may read history.
    pub allow_history_for_subscriber: bool,
    /// Users may read history without being subscribed.
    pub allow_history_for_client: bool,
    /// Anonymous ones may, where users may.
    pub allow_history_for_anonymous: bool,
    /// Subscribers may ask who is here.
    pub allow_presence_for_subscriber: bool,
    /// Users may ask who is here without being subscribed.
    pub allow_presence_for_client: bool,
    /// Anonymous ones may, where users may.
    pub allow_presence_for_anonymous: bool,
    /// Channels that name their users may be subscribed by these.
    pub allow_user_limited_channels: bool,
    /// What a channel's name (behind the namespace) must match.
    pub channel_regex: Option<String>,
    /// Who may subscribe without a subscription token is asked of a hook, whatever the options above say.
    pub subscribe_proxy_enabled: bool,
    /// Which of `proxies` is asked; default: `channel.proxy.subscribe`.
    pub subscribe_proxy_name: String,
    /// A hook is asked when a subscription expires, instead of its client.
    pub sub_refresh_proxy_enabled: bool,
    /// Which of `proxies` is asked; default: `channel.proxy.sub_refresh`.
    pub sub_refresh_proxy_name: String,
    /// Who may publish, and what, is asked of a hook, whatever the options above say.
    pub publish_proxy_enabled: bool,
    /// Which of `proxies` is asked; default: `channel.proxy.publish`.
    pub publish_proxy_name: String,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedOptions {
    /// What stands before the boundary in the names of its channels.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: ChannelOptions,
}

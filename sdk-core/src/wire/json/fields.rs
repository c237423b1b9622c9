//! The table of fields: which name each field of a wire type has in JSON.

use super::scanner::{Scanner, Step};
use super::value::{Decode, Encode, EncodeField, Fields, ObjectWriter, read_fields};
use crate::wire::*;
use alloc::string::String;

macro_rules! object {
    ($type:ident { $($field:ident),* $(,)? }) => {
        object!(@impl 'a $type { $($field),* });
    };
    ($type:ident<$life:lifetime> { $($field:ident),* $(,)? }) => {
        object!(@impl $life $type<$life> { $($field),* });
    };
    (@impl $life:lifetime $type:ty { $($field:ident),* }) => {
        impl<$life> Decode<$life> for $type {
            fn read(&mut self, scanner: &mut Scanner<$life>) -> Step {
                read_fields(&[$(stringify!($field)),*], self, scanner)
            }
        }

        impl<$life> Fields<$life> for $type {
            fn field(&mut self, at: usize) -> Option<&mut dyn Decode<$life>> {
                #[expect(non_camel_case_types, reason = "named after the fields")]
                enum Field { $($field),* }
                $(if at == Field::$field as usize {
                    return Some(&mut self.$field);
                })*
                None
            }
        }

        impl<$life> Encode for $type {
            fn encode(&self, out: &mut String) {
                let mut writer = ObjectWriter::new(out);
                $(writer.field(stringify!($field), &self.$field);)*
                writer.end();
            }
        }

        impl<$life> EncodeField for $type {
            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

object!(Connect<'a> { token, data, name, version, headers, subs });
object!(Subscribe<'a> {
    channel, token, data, recover, epoch, offset, positioned, recoverable, join_leave, delta, flag
});
object!(Unsubscribe<'a> { channel });
object!(Publish<'a> { channel, data });
object!(Presence<'a> { channel });
object!(PresenceStats<'a> { channel });
object!(History<'a> { channel, limit, since, reverse });
object!(Since<'a> { offset, epoch });
object!(Send<'a> { data });
object!(Rpc<'a> { method, data });
object!(Refresh<'a> { token });
object!(SubRefresh<'a> { channel, token });

object!(ErrorReply<'a> { code, message, temporary, retry_after });
object!(ConnectResult<'a> {
    client, version, data, subs, expires, ttl, ping, pong, session, node, time, homing
});
object!(Extras<'a> { version, capabilities, limits, user });
object!(Limits { message_bytes, frame_bytes, channels, channel_length, history_page });
object!(SubscribeResult<'a> {
    recoverable, positioned, epoch, offset, publications, recovered, was_recovering, expires, ttl, data, delta,
    homing
});
object!(Retention { size, ttl, cache });
object!(Publication<'a> { data, offset, info, tags, time, delta });
object!(ClientInfo<'a> { user, client, conn_info, chan_info });
object!(PublishResult<'a> { epoch, offset, time });
object!(PresenceResult<'a> { presence });
object!(PresenceStatsResult { num_clients, num_users });
object!(HistoryResult<'a> { publications, epoch, offset });
object!(RpcResult<'a> { data });
object!(RefreshResult<'a> { client, version, expires, ttl });
object!(SubRefreshResult { expires, ttl });
object!(Unsubscribed<'a> { code, reason });
object!(Subscribed<'a> { recoverable, positioned, epoch, offset, data });
object!(ServerMessage<'a> { data });
object!(Disconnect<'a> { code, reason, reconnect, retry_after });

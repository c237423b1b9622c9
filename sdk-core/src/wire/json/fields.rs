//! The table of fields: which name each field of a wire type has in JSON.

use crate::wire::*;

macro_rules! object {
    ($type:ident { $($field:ident),* $(,)? }) => {
        $crate::wire::json::object!(@impl 'a $type { $($field),* });
    };
    ($type:ident<$life:lifetime> { $($field:ident),* $(,)? }) => {
        $crate::wire::json::object!(@impl $life $type<$life> { $($field),* });
    };
    (@impl $life:lifetime $type:ty { $($field:ident),* }) => {
        impl<$life> $crate::wire::json::Decode<$life> for $type {
            fn read(&mut self, scanner: &mut $crate::wire::json::Scanner<$life>) -> $crate::wire::json::Step {
                $crate::wire::json::read_fields(&[$(stringify!($field)),*], self, scanner)
            }
        }

        impl<$life> $crate::wire::json::Fields<$life> for $type {
            fn field(&mut self, at: usize) -> Option<&mut dyn $crate::wire::json::Decode<$life>> {
                #[expect(non_camel_case_types, reason = "named after the fields")]
                enum Field { $($field),* }
                $(if at == Field::$field as usize {
                    return Some(&mut self.$field);
                })*
                None
            }
        }

        impl<$life> $crate::wire::json::Encode for $type {
            fn encode(&self, out: &mut alloc::string::String) {
                let mut writer = $crate::wire::json::ObjectWriter::new(out);
                $(writer.field(stringify!($field), &self.$field);)*
                writer.end();
            }
        }

        impl<$life> $crate::wire::json::EncodeField for $type {
            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

pub(crate) use object;

object!(Connect<'a> { token, data, name, version, headers, subs });
object!(Subscribe<'a> {
    channel, token, data, recover, epoch, offset, positioned, recoverable, join_leave, delta, flag
});
object!(Unsubscribe<'a> { channel });
object!(Publish<'a> { channel, data, homing, idempotency_key });
object!(Stamp<'a> { id, producer, session, number });
object!(Presence<'a> { channel });
object!(PresenceStats<'a> { channel });
object!(History<'a> { channel, limit, since, reverse });
object!(Since<'a> { offset, epoch });
object!(Send<'a> { data });
object!(Rpc<'a> { method, data });
object!(Refresh<'a> { token });
object!(SubRefresh<'a> { channel, token });

object!(ErrorReply<'a> { code, message, temporary, retry_after, expected, epoch });
object!(ConnectResult<'a> {
    client, version, data, subs, expires, ttl, ping, pong, session, node, time, homing
});
object!(Extras<'a> { version, capabilities, limits, user });
object!(Limits {
    message_bytes,
    frame_bytes,
    channels,
    channel_length,
    history_page,
    dedupe_window,
    in_flight
});
object!(SubscribeResult<'a> {
    recoverable, positioned, epoch, offset, publications, recovered, was_recovering, expires, ttl, data, delta,
    homing
});
object!(Retention { size, ttl, cache });
object!(Publication<'a> { data, offset, info, tags, id, time, delta });
object!(ClientInfo<'a> { user, client, conn_info, chan_info });
object!(PublishResult<'a> { epoch, offset, time, duplicate, expected });
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

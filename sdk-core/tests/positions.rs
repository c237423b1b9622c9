//! Positions that the client tells, by the frames that it hears.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::Desk;

#[test]
fn a_recovery_is_confirmed_at_the_newest_message_that_it_brings() {
    let (mut desk, _, key) = Desk::in_channel("room", 1);
    desk.closed_by_peer(1006);
    desk.until_socket(10_000);
    desk.accept();
    desk.events.clear();
    let (id, _) = desk.take("subscribe");
    desk.answer(
        id,
        "subscribe",
        json!({"recoverable": true, "positioned": true, "epoch": "e1", "offset": 1, "was_recovering": true,
            "recovered": true, "publications": [{"data": 2, "offset": 2}, {"data": 3, "offset": 3}]}),
    );
    let confirmed = desk.channel_events(key).into_iter().find_map(|event| match event {
        ChannelEvent::Subscribed(subscribed) => subscribed.position.clone(),
        _ => None,
    });
    assert_eq!(confirmed.map(|position| position.offset), Some(3));
    assert_eq!(desk.offsets(key), [2, 3]);
}

//! Bytes from outside: decoded or refused, and what was decoded survives a round trip.

use homing_core::wire::json;

/// A server reads a frame.
pub fn decode_commands(bytes: &[u8]) {
    let Ok(frame) = std::str::from_utf8(bytes) else { return };
    for command in json::commands(frame).filter_map(Result::ok) {
        let mut once = String::new();
        json::encode_command(&command, &mut once);
        let again = json::commands(&once).next().expect("one command").expect("what was encoded is decoded");
        let mut twice = String::new();
        json::encode_command(&again, &mut twice);
        assert_eq!(once, twice);
        serde_json::from_str::<serde::de::IgnoredAny>(&once).expect("another parser reads it too");
    }
}

/// A client reads a frame.
pub fn decode_replies(bytes: &[u8]) {
    let Ok(frame) = std::str::from_utf8(bytes) else { return };
    for reply in json::replies(frame).filter_map(Result::ok) {
        let mut once = String::new();
        json::encode_reply(&reply, &mut once);
        let again = json::replies(&once).next().expect("one reply").expect("what was encoded is decoded");
        let mut twice = String::new();
        json::encode_reply(&again, &mut twice);
        assert_eq!(once, twice);
        serde_json::from_str::<serde::de::IgnoredAny>(&once).expect("another parser reads it too");
    }
}

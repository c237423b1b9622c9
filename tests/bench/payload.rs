//! The message that every benchmark publishes: 150 bytes of JSON, as a chat line would be.

/// The payload.
pub(crate) const DATA: &str = r#"{"id":"0193d8f2-6f0a-7cc3-98c4-dc0c0c07398f","author":"ada","at":1763700000000,"text":"The quick brown pigeon flies over the lazy cat and comes home."}"#;

/// A publication in the frame a server sends it in.
#[allow(dead_code, reason = "the floor alone sends publications")]
pub(crate) fn publication(channel: &str) -> String {
    format!(r#"{{"push":{{"channel":"{channel}","pub":{{"data":{DATA},"offset":1}}}}}}"#)
}

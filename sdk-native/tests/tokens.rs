//! Tokens from the app's provider: when it is asked, and what its refusals do.

mod peer;

use homing::{ErrorCode, TokenRefusal};
use peer::{Peer, quick, soon};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

#[tokio::test]
async fn a_token_is_asked_for_on_every_open_and_a_provider_may_fail() {
    let peer = Peer::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let provider = move |channel: Option<String>| {
        assert_eq!(channel, None);
        let number = counter.fetch_add(1, Relaxed);
        async move {
            match number {
                0 => Err(TokenRefusal::Failed("the backend is busy".into())),
                1 => panic!("a provider with a defect"),
                2 => Ok("token".to_owned()),
                _ => Err(TokenRefusal::Forbidden("signed out".into())),
            }
        }
    };
    let client = quick(peer.url()).token_provider(provider).build().unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    assert_eq!(asked.load(Relaxed), 3);
    client.disconnect();
    soon(client.disconnected()).await;
    client.connect().unwrap();
    assert_eq!(soon(client.connected()).await.unwrap_err().code, ErrorCode::TokenForbidden);
    assert_eq!((asked.load(Relaxed), peer.behave().connections), (4, 1));
}

#[tokio::test]
async fn a_forbidden_token_is_final() {
    let peer = Peer::start().await;
    let provider = |_| async { Err(TokenRefusal::Forbidden("signed out".into())) };
    let client = quick(peer.url()).token_provider(provider).build().unwrap();
    client.connect().unwrap();
    let error = soon(client.disconnected()).await;
    assert_eq!((error.code, &*error.detail), (ErrorCode::TokenForbidden, "signed out"));
    assert_eq!(peer.behave().connections, 0);
}

#[tokio::test]
async fn a_channel_token_comes_from_the_same_provider() {
    let peer = Peer::start().await;
    let provider = |channel: Option<String>| async move { Ok(channel.unwrap_or_default()) };
    let client = quick(peer.url()).token_provider(provider).build().unwrap();
    client.connect().unwrap();
    let options = homing::SubscribeOptions { provides_tokens: true, ..homing::SubscribeOptions::default() };
    soon(client.channel_with("$room", options).join()).await.unwrap();
    assert_eq!(peer.behave().tokens, ["$room"]);
}

//! What is too much, and what becomes of it.

use crate::support::{World, token};

#[test]
fn a_message_that_is_too_large_is_refused_and_the_connection_stays() {
    let world = World::new();
    let mut ada = world.user("ada");
    let message = |size: usize| format!(r#"{{"channel":"plain","data":"{}"}}"#, "x".repeat(size - 2));
    assert!(ada.call("publish", &message(65_536))["publish"].is_object());
    let reply = ada.call("publish", &message(65_537));
    assert_eq!(reply["error"]["code"], 106);
    assert_eq!(reply["error"]["message"], "limit exceeded: a message of 65537 bytes, 65536 may be");
    let large = "x".repeat(100_000);
    assert_eq!(ada.refused("rpc", &format!(r#"{{"method":"echo","data":"{large}"}}"#)), 106);
    assert_eq!(ada.close_code(), None);
}

#[test]
fn a_connection_has_so_many_channels() {
    let world = World::changed(|config| config.client.channel_limit = 3);
    let mut ada = world.user("ada");
    for n in 0..3 {
        ada.subscribe(&format!("chat:{n}"));
    }
    assert_eq!(ada.refused("subscribe", r#"{"channel":"chat:3"}"#), 106);
    ada.call("unsubscribe", r#"{"channel":"chat:0"}"#);
    ada.subscribe("chat:3");
}

#[test]
fn a_user_has_so_many_connections() {
    let world = World::changed(|config| config.client.user_connection_limit = 2);
    let first = world.user("ada");
    let _second = world.user("ada");
    let mut third = world.client();
    let connect = format!(r#"{{"token":"{}"}}"#, token(r#"{"sub":"ada"}"#));
    third.command("connect", &connect);
    assert_eq!(third.close_code(), Some(3504));
    let _other = world.user("bob");
    drop(first);
    world.user("ada");
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_with_numbers() {
    let world = World::changed(|config| config.client.queue_max_size = 100_000);
    let (mut slow, mut ada) = (world.user("slow"), world.user("ada"));
    slow.subscribe("chat:a");
    ada.subscribe("chat:a");
    let data = format!("\"{}\"", "x".repeat(30_000));
    for _ in 0..3 {
        ada.publish("chat:a", &data);
    }
    assert!(!slow.connection.is_closing());
    ada.publish("chat:a", &data);
    assert!(slow.connection.is_closing());
    slow.turn();
    let close = slow.close().unwrap();
    assert_eq!(close.code, 3008);
    assert!(close.reason.starts_with("slow: 1"), "{}", close.reason);
    assert!(close.reason.ends_with(" bytes wait, 100000 may"), "{}", close.reason);
    assert_eq!(ada.data().len(), 4);
}

#[test]
fn commands_have_a_rate() {
    let world = World::changed(|config| config.client.command_rate_limit = 5);
    let mut ada = world.user("ada");
    for _ in 0..10 {
        ada.call("ping", "{}");
    }
    let reply = ada.call("ping", "{}");
    assert_eq!(reply["error"]["code"], 111);
    assert_eq!(reply["error"]["temporary"], true);
    assert_eq!(reply["error"]["retry_after"], 200);
    world.pass(&mut [&mut ada], 200);
    ada.call("ping", "{}");
    for _ in 0..20 {
        ada.command("ping", "{}");
    }
    assert_eq!(ada.close_code(), Some(3013));
}

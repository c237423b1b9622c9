//! The connect command, and what comes before and after it.

use crate::support::{START, World, token};
use serde_json::json;

#[test]
fn the_connect_result_says_what_the_server_offers() {
    let world = World::new();
    let mut client = world.client();
    let token = token(r#"{"sub":"ada","exp":1700000060}"#);
    let result =
        client.call("connect", &format!(r#"{{"token":"{token}","name":"test"}}"#))["connect"].clone();
    assert_eq!(result["client"], client.id());
    assert_eq!(result["node"], world.node.id());
    assert_eq!(
        result["homing"],
        json!({
            "version": 1,
            "capabilities": ["idempotency-key", "ping", "publish-position", "retention", "retry-after", "producers"],
            "limits": {
                "message_bytes": 65536, "frame_bytes": 1_048_576, "channels": 128, "channel_length": 255,
                "history_page": 300, "dedupe_window": 172_800, "in_flight": 16
            },
            "user": "ada"
        })
    );
    assert_eq!((&result["ping"], &result["pong"]), (&json!(25), &json!(true)));
    assert_eq!((&result["expires"], &result["ttl"]), (&json!(true), &json!(60)));
    assert_eq!(result["time"], json!(START));
}

#[test]
fn anything_but_connect_first_ends_the_connection() {
    for frame in [
        r#"{"id":1,"subscribe":{"channel":"chat:a"}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"connect":{}}"#,
        r#"{"send":{"data":1}}"#,
    ] {
        let mut client = World::new().client();
        client.send(frame);
        assert_eq!(client.close_code(), Some(3501), "{frame}");
    }
}

#[test]
fn a_second_connect_ends_the_connection() {
    let mut client = World::new().user("ada");
    client.command("connect", "{}");
    assert_eq!(client.close_code(), Some(3501));
}

#[test]
fn a_malformed_frame_ends_the_connection_and_says_where() {
    for frame in [
        "",
        " \n",
        "nonsense",
        "{",
        "[]",
        "{\"id\":1}",
        "{\"id\":1,\"fly\":{}}",
        "{\"id\":-1,\"ping\":{}}",
        "{\"id\":1,\"ping\":{},\"rpc\":{}}",
        "{\"id\":1,\"publish\":{\"channel\":7}}",
        "{\"id\":0,\"ping\":{}}",
    ] {
        let mut client = World::new().user("ada");
        client.send(frame);
        let close = client.close().unwrap_or_else(|| panic!("{frame} was taken"));
        assert_eq!(close.code, 3501, "{frame}");
        assert!(close.reason.starts_with("bad request: "), "{}", close.reason);
    }
}

#[test]
fn commands_before_a_malformed_one_are_answered() {
    let mut client = World::new().user("ada");
    client.send("{\"id\":7,\"ping\":{}}\nnonsense");
    assert_eq!(client.reply(7), Some(json!({"id": 7, "ping": {}})));
    assert_eq!(client.close_code(), Some(3501));
}

#[test]
fn several_commands_of_one_frame_are_answered_in_order() {
    let world = World::new();
    let mut client = world.client();
    let token = token(r#"{"sub":"ada"}"#);
    client.send(&format!(
        "{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"chat:a\"}}}}\n\
         {{\"id\":3,\"publish\":{{\"channel\":\"chat:a\",\"data\":{{}}}}}}\n{{\"id\":4,\"rpc\":{{\"method\":\"none\"}}}}"
    ));
    let all = client.all();
    let ids: Vec<_> = all.iter().filter_map(|reply| reply["id"].as_u64()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(all.last().unwrap()["error"]["code"], 104);
}

#[test]
fn silence_before_connect_ends_the_connection() {
    let world = World::new();
    let mut client = world.client();
    world.pass(&mut [&mut client], 9_900);
    assert_eq!(client.close_code(), None);
    world.pass(&mut [&mut client], 200);
    assert_eq!(client.close_code(), Some(3502));
}

#[test]
fn without_a_token_nobody_gets_in_unless_the_settings_say_so() {
    let mut client = World::new().client();
    assert_eq!(client.refused("connect", "{}"), 101);
    assert_eq!(client.close_code(), None);

    let world = World::changed(|config| config.client.allow_anonymous_connect_without_token = true);
    let mut client = world.client();
    assert_eq!(client.call("connect", "{}")["connect"]["homing"].get("user"), None);
    assert_eq!(client.refused("subscribe", r#"{"channel":"chat:a"}"#), 103);
    client.subscribe("asks:a");
}

#[test]
fn an_insecure_server_takes_everybody_on_their_word() {
    let world = World::changed(|config| config.client.insecure = true);
    let mut client = world.client();
    let connect = r#"{"data":{"user":"ada","info":{"name":"Ada"}}}"#;
    assert_eq!(client.call("connect", connect)["connect"]["homing"]["user"], "ada");
    client.subscribe("$chat:private");
    client.subscribe("closed:a");
    client.subscribe("chat:x#somebody");
    client.publish("closed:a", "1");
    let push = client.pushes("pub").remove(0);
    assert_eq!(push["push"]["pub"]["info"]["conn_info"], json!({"name": "Ada"}));
    // The namespace must be there all the same.
    assert_eq!(client.refused("subscribe", r#"{"channel":"nowhere:a"}"#), 102);
}

#[test]
fn a_connection_that_ends_is_forgotten() {
    let world = World::new();
    let mut client = world.user("ada");
    client.subscribe("chat:a");
    assert_eq!((world.node.registry.len(), world.node.registry.of_user("ada").len()), (1, 1));
    client.vanish();
    assert!(world.node.registry.is_empty());
    assert!(world.node.registry.of_user("ada").is_empty());
    // The room goes a little later, unless somebody comes back.
    assert_eq!(world.node.hub.rooms(), 1);
    world.pass(&mut [], 2000);
    assert_eq!(world.node.hub.rooms(), 0);
}

#[test]
fn a_node_that_stops_takes_nobody() {
    let world = World::new();
    let mut client = world.client();
    world.node.start_draining();
    client.command("connect", "{}");
    let close = client.close().unwrap();
    assert_eq!(close.code, 3001);
    assert!(close.retry_after > 0);
}

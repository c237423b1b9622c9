//! Subscribing, publishing and reading, and who may.

use crate::support::World;
use serde_json::json;

#[test]
fn a_publication_reaches_every_subscriber_once_with_its_author() {
    let world = World::new();
    let (mut ada, mut bob, mut eve) = (world.user("ada"), world.user("bob"), world.user("eve"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    eve.subscribe("chat:b");
    let ack = ada.publish("chat:a", r#"{"text":"hi"}"#);
    assert_eq!(ack["offset"], 1);
    assert_eq!(ack["epoch"].as_str().unwrap().len(), 16);
    for client in [&mut ada, &mut bob] {
        let pushes = client.pushes("pub");
        assert_eq!(pushes.len(), 1);
        let publication = &pushes[0]["push"]["pub"];
        assert_eq!(publication["data"], json!({"text": "hi"}));
        assert_eq!(publication["info"]["user"], "ada");
        assert_eq!(publication["time"], ack["time"]);
    }
    assert!(eve.data().is_empty());
}

#[test]
fn a_payload_of_several_lines_is_put_on_one() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    ada.send("{\"id\":50,\"publish\":{\"channel\":\"chat:a\",\"data\":{\n\"a\":\r\n[1,\n2]}}}");
    assert_eq!(ada.data(), [json!({"a": [1, 2]})]);
}

#[test]
fn nodes_share_channels() {
    let world = World::new();
    let neighbour = world.neighbour();
    let (mut here, mut there) = (world.user("ada"), neighbour.user("bob"));
    here.subscribe("chat:a");
    there.subscribe("chat:a");
    here.publish("chat:a", "1");
    there.publish("chat:a", "2");
    assert_eq!(here.data(), [1, 2]);
    assert_eq!(there.data(), [1, 2]);
    assert_eq!(
        here.call("presence_stats", r#"{"channel":"chat:a"}"#)["presence_stats"],
        json!({"num_clients": 2, "num_users": 2})
    );
}

#[test]
fn after_unsubscribe_nothing_comes_and_the_channel_can_be_had_again() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    assert_eq!(ada.refused("subscribe", r#"{"channel":"chat:a"}"#), 105);
    assert!(ada.call("unsubscribe", r#"{"channel":"chat:a"}"#)["unsubscribe"].is_object());
    bob.publish("chat:a", "1");
    assert!(ada.data().is_empty());
    assert_eq!(ada.refused("publish", r#"{"channel":"chat:a","data":1}"#), 103);
    ada.subscribe("chat:a");
    bob.publish("chat:a", "2");
    assert_eq!(ada.data(), [2]);
    // A channel that nobody has subscribed to can be left all the same.
    assert!(ada.call("unsubscribe", r#"{"channel":"chat:z"}"#)["unsubscribe"].is_object());
}

#[test]
fn what_is_not_allowed_is_refused_with_its_code() {
    let world = World::new();
    let mut ada = world.user("ada");
    let long = "x".repeat(256);
    for (verb, request, code) in [
        ("subscribe", r#"{"channel":"nowhere:x"}"#, 102),
        ("publish", r#"{"channel":"nowhere:x","data":1}"#, 102),
        ("history", r#"{"channel":"nowhere:x"}"#, 102),
        ("subscribe", r#"{"channel":"closed:x"}"#, 103),
        ("publish", r#"{"channel":"closed:x","data":1}"#, 103),
        ("publish", r#"{"channel":"chat:x","data":1}"#, 103),
        ("history", r#"{"channel":"chat:x","limit":1}"#, 103),
        ("presence", r#"{"channel":"chat:x"}"#, 103),
        ("history", r#"{"channel":"plain","limit":1}"#, 108),
        ("presence", r#"{"channel":"plain"}"#, 108),
        ("presence_stats", r#"{"channel":"cache:x"}"#, 108),
        ("subscribe", r#"{"channel":""}"#, 107),
        ("subscribe", r#"{"channel":"chat:é"}"#, 107),
        ("subscribe", &format!(r#"{{"channel":"{long}"}}"#), 107),
        ("publish", r#"{"channel":"plain"}"#, 107),
        ("rpc", r#"{"method":"none"}"#, 104),
        ("sub_refresh", r#"{"channel":"chat:x","token":"t"}"#, 103),
    ] {
        assert_eq!(ada.refused(verb, request), code, "{verb} {request}");
    }
    assert_eq!(ada.close_code(), None);
}

#[test]
fn a_channel_that_names_its_users_is_for_them_alone() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("42"), world.user("7"));
    ada.subscribe("chat:dialog#42,43");
    assert_eq!(bob.refused("subscribe", r#"{"channel":"chat:dialog#42,43"}"#), 103);
    assert_eq!(bob.refused("subscribe", r#"{"channel":"chat:dialog#"}"#), 103);
}

#[test]
fn history_is_read_in_pages_both_ways() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    for n in 1..=12 {
        ada.publish("chat:a", &n.to_string());
    }
    let mut page = |request: &str| {
        let reply = ada.call("history", &format!(r#"{{"channel":"chat:a",{request}}}"#));
        let result = &reply["history"];
        let publications = result["publications"].as_array().cloned().unwrap_or_default();
        let data: Vec<u64> = publications.iter().map(|one| one["data"].as_u64().unwrap()).collect();
        (data, result["offset"].clone(), result["epoch"].clone(), reply["error"]["code"].clone())
    };
    let (data, offset, epoch, _) = page(r#""limit":0"#);
    assert_eq!((data, offset), (vec![], json!(12)));
    assert_eq!(page(r#""limit":-1"#).0, (3..=12).collect::<Vec<_>>());
    assert_eq!(page(r#""limit":2"#).0, [3, 4]);
    assert_eq!(page(r#""limit":2,"reverse":true"#).0, [12, 11]);
    let since = |offset: u64| format!(r#""since":{{"offset":{offset},"epoch":{epoch}}}"#);
    assert_eq!(page(&format!(r#""limit":3,{}"#, since(5))).0, [6, 7, 8]);
    assert_eq!(page(&format!(r#""limit":3,"reverse":true,{}"#, since(8))).0, [7, 6, 5]);
    assert!(page(&format!(r#""limit":3,{}"#, since(12))).0.is_empty());
    assert_eq!(page(r#""limit":3,"since":{"offset":10}"#).0, [11, 12]);
    assert_eq!(page(r#""limit":3,"since":{"offset":1,"epoch":"other"}"#).3, json!(112));
}

#[test]
fn a_procedure_is_called_and_its_error_told() {
    let world = World::new();
    let mut ada = world.user("ada");
    assert_eq!(ada.call("rpc", r#"{"method":"echo","data":[1,{}]}"#)["rpc"], json!({"data": [1, {}]}));
    assert_eq!(ada.call("rpc", r#"{"method":"echo"}"#)["rpc"], json!({}));
    ada.send(r#"{"send":{"data":{"no":"answer"}}}"#);
    assert!(ada.all().is_empty());
}

#[test]
fn a_channel_that_keeps_nothing_has_no_offsets() {
    let world = World::new();
    let mut ada = world.user("ada");
    let result = ada.subscribe("plain");
    assert_eq!(result, json!({"homing": {}}));
    let ack = ada.publish("plain", "1");
    assert_eq!((ack.get("offset"), ack.get("epoch")), (None, None));
    assert_eq!(ada.pushes("pub")[0]["push"]["pub"].get("offset"), None);
}

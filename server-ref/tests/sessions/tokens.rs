//! Connection and subscription tokens: what lets in, what keeps out.

use crate::support::{Client, START, World, settings, token};
use homing_server::{api::PublishOptions, config, engine::Call};
use serde_json::{Value, json};

const SECONDS: i64 = START / 1000;

fn connect(world: &World, token: &str) -> (Option<u64>, Option<u16>) {
    let mut client = world.client();
    let id = client.command("connect", &format!(r#"{{"token":"{token}"}}"#));
    let code = client.reply(id).and_then(|reply| reply["error"]["code"].as_u64());
    (code, client.close_code())
}

#[test]
fn a_bad_token_ends_the_connection_for_good_and_an_expired_one_does_not() {
    let world = World::new();
    let good = token(r#"{"sub":"ada"}"#);
    assert_eq!(connect(&world, &good), (None, None));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let none = format!("eyJhbGciOiJub25lIn0.{}.", head.split_once('.').unwrap().1);
    for bad in [forged.as_str(), "x", "a.b.c", none.as_str()] {
        assert_eq!(connect(&world, bad), (None, Some(3500)), "{bad}");
    }
    assert_eq!(connect(&world, &token(&format!(r#"{{"sub":"ada","exp":{SECONDS}}}"#))), (Some(109), None));
    let later = format!(r#"{{"sub":"ada","nbf":{}}}"#, SECONDS + 10);
    assert_eq!(connect(&world, &token(&later)), (None, Some(3500)));
}

#[test]
fn after_an_expired_token_a_fresh_one_may_come_on_the_same_connection() {
    let world = World::new();
    let mut client = world.client();
    let old = token(&format!(r#"{{"sub":"ada","exp":{SECONDS}}}"#));
    assert_eq!(client.refused("connect", &format!(r#"{{"token":"{old}"}}"#)), 109);
    let fresh = token(r#"{"sub":"ada"}"#);
    assert!(client.call("connect", &format!(r#"{{"token":"{fresh}"}}"#))["connect"].is_object());
}

#[test]
fn audience_issuer_and_the_claim_of_the_user_are_checked() {
    let world = World::changed(|config| {
        config.client.token.audience = Some("chat".into());
        config.client.token.issuer = Some("house".into());
        config.client.token.user_id_claim = Some("login".into());
    });
    for (claims, accepted) in [
        (r#"{"login":"ada","aud":"chat","iss":"house"}"#, true),
        (r#"{"login":"ada","aud":["x","chat"],"iss":"house"}"#, true),
        (r#"{"login":"ada","aud":"other","iss":"house"}"#, false),
        (r#"{"login":"ada","iss":"house"}"#, false),
        (r#"{"login":"ada","aud":"chat","iss":"elsewhere"}"#, false),
        (r#"{"login":{},"aud":"chat","iss":"house"}"#, false),
    ] {
        let expected = if accepted { (None, None) } else { (None, Some(3500)) };
        assert_eq!(connect(&world, &token(claims)), expected, "{claims}");
    }
    let mut client = world.client();
    let token = token(r#"{"login":42,"aud":"chat","iss":"house"}"#);
    assert_eq!(
        client.call("connect", &format!(r#"{{"token":"{token}"}}"#))["connect"]["homing"]["user"],
        "42"
    );
}

#[test]
fn a_token_of_somebody_else_does_not_refresh() {
    let world = World::new();
    let mut client = world.user("ada");
    client.command("refresh", &format!(r#"{{"token":"{}"}}"#, token(r#"{"sub":"bob"}"#)));
    assert_eq!(client.close_code(), Some(3500));
    let mut client = world.user("ada");
    let old = token(&format!(r#"{{"sub":"ada","exp":{SECONDS}}}"#));
    client.command("refresh", &format!(r#"{{"token":"{old}"}}"#));
    assert_eq!(client.close_code(), Some(3005));
}

#[test]
fn a_fresh_token_changes_what_is_told_of_its_user() {
    let world = World::new();
    let mut client = world.client();
    let connect = token(r#"{"sub":"ada","info":1,"subs":{"chat:a":{}}}"#);
    client.call("connect", &format!(r#"{{"token":"{connect}"}}"#));
    let told = |client: &mut Client, channel: &str| {
        client.publish(channel, "1");
        let push = client.pushes("pub").remove(0);
        let reply = client.call("presence", &format!(r#"{{"channel":"{channel}"}}"#));
        let (pub_info, here) = (&push["push"]["pub"]["info"], &reply["presence"]["presence"][client.id()]);
        assert_eq!(pub_info, here);
        (here["conn_info"].clone(), here["chan_info"].clone())
    };
    assert_eq!(told(&mut client, "chat:a"), (json!(1), Value::Null));
    for (claims, now) in [(r#"{"sub":"ada","b64info":"Mg=="}"#, 2), (r#"{"sub":"ada"}"#, 2)] {
        client.call("refresh", &format!(r#"{{"token":"{}"}}"#, token(claims)));
        assert_eq!(told(&mut client, "chat:a").0, now, "{claims}");
    }
    let subscribe = token(r#"{"sub":"ada","channel":"$chat:x","info":"guest"}"#);
    client.call("subscribe", &format!(r#"{{"channel":"$chat:x","token":"{subscribe}"}}"#));
    assert_eq!(told(&mut client, "$chat:x"), (json!(2), json!("guest")));
    for claims in
        [r#"{"sub":"ada","channel":"$chat:x","info":"host"}"#, r#"{"sub":"ada","channel":"$chat:x"}"#]
    {
        let request = format!(r#"{{"channel":"$chat:x","token":"{}"}}"#, token(claims));
        client.call("sub_refresh", &request);
        assert_eq!(told(&mut client, "$chat:x"), (json!(2), json!("host")), "{claims}");
    }
}

#[test]
fn a_subscription_token_changes_options_for_its_subscription() {
    let world = World::new();
    let mut bob = world.user("bob");
    bob.call("subscribe", r#"{"channel":"chat:a","join_leave":true}"#);
    let mut subscribe = |user: &str, over: &str, request: &str| {
        let mut client = world.user(user);
        let claims = format!(r#"{{"sub":"{user}","channel":"chat:a","override":{over}}}"#);
        let request = format!(r#"{{"channel":"chat:a","token":"{}"{request}}}"#, token(&claims));
        let result = client.call("subscribe", &request)["subscribe"].clone();
        let here = bob.call("presence", r#"{"channel":"chat:a"}"#);
        let present = here["presence"]["presence"].get(client.id()).is_some();
        let joins =
            bob.pushes("join").iter().filter(|push| push["push"]["join"]["info"]["user"] == user).count();
        (result["recoverable"] == true, present, joins, !client.pushes("join").is_empty())
    };
    let usual = (true, true, 1, false);
    assert_eq!(subscribe("ann", "{}", ""), usual);
    assert_eq!(subscribe("eve", "null", r#","join_leave":false"#), usual);
    let hidden = r#"{"presence":{"value":false},"join_leave":{"value":false}}"#;
    assert_eq!(subscribe("spy", hidden, ""), (true, false, 0, false));
    assert_eq!(subscribe("odd", r#"{"force_recovery":{"value":false}}"#, ""), (false, true, 1, false));
    assert_eq!(subscribe("all", r#"{"force_push_join_leave":{"value":true}}"#, ""), (true, true, 1, true));
}

#[test]
fn an_override_may_say_that_a_subscription_goes_on_where_it_was() {
    let world = World::new();
    let mut bob = world.user("bob");
    let publish = |world: &World, count: usize| {
        for n in 0..count {
            let sent = world.node.publish("asks:a", &n.to_string(), &PublishOptions::default()).unwrap();
            assert!(matches!(sent, Call::Ready(Ok(Ok(_)))));
        }
    };
    let claims = r#"{"sub":"bob","channel":"asks:a","override":{"force_recovery":{"value":true}}}"#;
    let token = token(claims);
    let result = bob.call("subscribe", &format!(r#"{{"channel":"asks:a","token":"{token}"}}"#));
    let epoch = result["subscribe"]["epoch"].as_str().unwrap().to_owned();
    publish(&world, 3);
    let mut again = world.user("bob");
    let place = format!(r#""recover":true,"epoch":"{epoch}","offset":1"#);
    let result = again.call("subscribe", &format!(r#"{{"channel":"asks:a","token":"{token}",{place}}}"#));
    let result = &result["subscribe"];
    assert_eq!(
        (&result["recovered"], &result["publications"].as_array().map(Vec::len)),
        (&json!(true), &Some(2))
    );
}

#[test]
fn claims_in_base64_are_json_or_make_the_token_invalid() {
    let world = World::new();
    // {"r":1} and {"hello":true}
    let subs = r#"{"chat:b":{"b64info":"eyJyIjoxfQ==","b64data":"eyJoZWxsbyI6dHJ1ZX0=","override":{"force_recovery":{"value":false}}}}"#;
    let good = token(&format!(r#"{{"sub":"ada","info":"hidden","b64info":"WzFd","subs":{subs}}}"#));
    let mut ada = world.client();
    let result = ada.call("connect", &format!(r#"{{"token":"{good}"}}"#))["connect"].clone();
    assert_eq!(result["subs"]["chat:b"]["data"], json!({"hello": true}));
    assert_eq!(result["subs"]["chat:b"].get("recoverable"), None);
    let reply = ada.call("presence", r#"{"channel":"chat:b"}"#);
    let here = &reply["presence"]["presence"][ada.id()];
    assert_eq!((&here["conn_info"], &here["chan_info"]), (&json!([1]), &json!({"r": 1})));

    for (claim, why) in [
        (r#""b64info":"%""#, "b64info: not base64"),
        (r#""b64info":"eyJ9""#, "b64info: what it holds is not JSON"),
        (r#""b64info":"/w==""#, "b64info: what it holds is not UTF-8"),
        // A text of JSON whose only byte is no UTF-8.
        (r#""b64info":"Iv8i""#, "not UTF-8"),
        (r#""subs":{"chat:c":{"b64data":"e30"}}"#, r#"subs["chat:c"]: b64data: not base64"#),
        (r#""override":{"presence":true}"#, "invalid type"),
    ] {
        let bad = token(&format!(r#"{{"sub":"ada",{claim}}}"#));
        let mut client = world.client();
        client.command("connect", &format!(r#"{{"token":"{bad}"}}"#));
        client.turn();
        let close = client.close().unwrap();
        assert!(close.code == 3500 && close.reason.contains(why), "{claim}: {close:?}");
        if !claim.contains("subs") {
            let bad = token(&format!(r#"{{"sub":"ada","channel":"$chat:x",{claim}}}"#));
            let request = format!(r#"{{"channel":"$chat:x","token":"{bad}"}}"#);
            let id = ada.command("subscribe", &request);
            let error = ada.reply(id).unwrap()["error"].clone();
            assert!(
                error["code"] == 103 && error["message"].as_str().unwrap().contains(why),
                "{claim}: {error}"
            );
        }
    }
}

#[test]
fn a_private_channel_wants_a_token_for_it() {
    let world = World::new();
    let mut client = world.user("ada");
    assert_eq!(client.refused("subscribe", r#"{"channel":"$chat:x"}"#), 103);
    for (claims, code) in [
        (r#"{"sub":"bob","channel":"$chat:x"}"#.to_owned(), 103),
        (r#"{"sub":"ada","channel":"$chat:y"}"#.to_owned(), 103),
        (format!(r#"{{"sub":"ada","channel":"$chat:x","exp":{SECONDS}}}"#), 109),
    ] {
        let request = format!(r#"{{"channel":"$chat:x","token":"{}"}}"#, token(&claims));
        assert_eq!(client.refused("subscribe", &request), code, "{claims}");
    }
    assert_eq!(client.refused("subscribe", r#"{"channel":"$chat:x","token":"nonsense"}"#), 103);
    let claims = r#"{"sub":"ada","channel":"$chat:x","info":{"role":"host"}}"#;
    client.call("subscribe", &format!(r#"{{"channel":"$chat:x","token":"{}"}}"#, token(claims)));
    client.publish("$chat:x", "1");
    let push = client.pushes("pub").remove(0);
    assert_eq!(push["push"]["pub"]["info"]["chan_info"], json!({"role": "host"}));
    let reply = client.call("presence", r#"{"channel":"$chat:x"}"#);
    let me = client.id();
    assert_eq!(reply["presence"]["presence"][me]["chan_info"], json!({"role": "host"}));
}

#[test]
fn a_token_opens_a_channel_that_is_closed_otherwise() {
    let mut client = World::new().user("ada");
    assert_eq!(client.refused("subscribe", r#"{"channel":"closed:x"}"#), 103);
    let token = token(r#"{"sub":"ada","channel":"closed:x"}"#);
    assert!(
        client.call("subscribe", &format!(r#"{{"channel":"closed:x","token":"{token}"}}"#))["subscribe"]
            .is_object()
    );
}

#[test]
fn channels_of_a_token_are_subscribed_and_recovered() {
    let world = World::new();
    let token = token(
        r#"{"sub":"ada","channels":["chat:a"],"subs":{"chat:b":{"info":{"r":1},"data":{"hello":true}}}}"#,
    );
    let mut first = world.client();
    let result = first.call("connect", &format!(r#"{{"token":"{token}"}}"#))["connect"].clone();
    assert_eq!(result["subs"]["chat:a"]["recoverable"], true);
    assert_eq!(result["subs"]["chat:b"]["data"], json!({"hello": true}));
    let epoch = result["subs"]["chat:a"]["epoch"].as_str().unwrap().to_owned();
    for n in 1..=3 {
        first.publish("chat:a", &n.to_string());
    }
    assert_eq!(first.data(), [1, 2, 3]);

    let mut again = world.client();
    let subs = format!(r#"{{"chat:a":{{"recover":true,"epoch":"{epoch}","offset":1}}}}"#);
    let result = again.call("connect", &format!(r#"{{"token":"{token}","subs":{subs}}}"#))["connect"].clone();
    let sub = &result["subs"]["chat:a"];
    assert_eq!((&sub["recovered"], &sub["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!(sub["publications"].as_array().unwrap().len(), 2);
    first.publish("chat:a", "4");
    assert_eq!(again.data(), [4]);
    assert_eq!(again.refused("subscribe", r#"{"channel":"chat:a"}"#), 105);
}

#[test]
fn a_token_with_a_channel_that_cannot_be_is_refused() {
    let world = World::new();
    let mut client = world.client();
    let request = format!(r#"{{"token":"{}"}}"#, token(r#"{"sub":"ada","channels":["chat:a","nowhere:x"]}"#));
    assert_eq!(client.refused("connect", &request), 102);
    assert!(world.node.registry.of_user("ada").is_empty());
    assert_eq!(client.refused("connect", "{}"), 101);
}

#[test]
fn subscription_tokens_may_have_keys_of_their_own() {
    let mut config = settings();
    config.client.subscription_token.enabled = true;
    config.client.subscription_token.token.hmac_secret_key = Some("another secret".into());
    config::check(&config).unwrap();
    let mut client = World::with(config).user("ada");
    let token = token(r#"{"sub":"ada","channel":"$chat:x"}"#);
    assert_eq!(client.refused("subscribe", &format!(r#"{{"channel":"$chat:x","token":"{token}"}}"#)), 103);
}

//! What each hook is asked, to the letter, and what is made of its answer.

use crate::{
    backend::{Backend, connected, json},
    socket::{Socket, until},
};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn connect_says_who_a_client_is() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let expire_at = unix() + 3600;
    backend.answer(move |_| {
        json(&format!(
            r#"{{"result":{{"user":"ada","expire_at":{expire_at},"info":{{"name":"Ada"}},"data":{{"hello":1}},
               "channels":["chat:one"],"subs":{{"chat:two":{{"info":{{"role":"owner"}},"data":[2],"override":{{"force_recovery":{{"value":false}},"presence":null}}}}}},"meta":{{"m":1}}}}}}"#
        ))
    });
    let mut ada = Socket::open(&server).await;
    let request = r#"{"name":"js","version":"1.2","data":{"pass": "word"},
        "subs":{"chat:one":{"recover":true,"epoch":"x","offset":1}}}"#;
    let reply = ada.call("connect", &request.replace('\n', " ")).await;
    let result = &reply["connect"];
    let asked = backend.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((&*asked[0].path, asked[0].header("content-type")), ("/connect", Some("application/json")));
    assert_eq!(
        asked[0].json(),
        json!({
            "client": result["client"], "transport": "websocket", "protocol": "json", "encoding": "json",
            "name": "js", "version": "1.2", "data": {"pass": "word"}, "channels": ["chat:one"],
        })
    );
    assert_eq!(result["data"], json!({"hello": 1}));
    assert_eq!(result["subs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["chat:one", "chat:two"]);
    assert_eq!(result["subs"]["chat:two"]["data"], json!([2]));
    assert_eq!(result["subs"]["chat:one"]["recoverable"], true);
    assert!(result["subs"]["chat:two"]["recoverable"].is_null(), "{result}");
    let presence = ada.call("presence", r#"{"channel":"chat:two"}"#).await;
    let here = &presence["presence"]["presence"][result["client"].as_str().unwrap()];
    assert_eq!((&here["user"], &here["conn_info"]["name"]), (&json!("ada"), &json!("Ada")));
    assert_eq!(here["chan_info"], json!({"role": "owner"}));
}

#[tokio::test]
async fn refresh_is_asked_when_a_connection_expires() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    backend.answer(move |asked| match &*asked.path {
        "/connect" => {
            let soon = unix() + 2;
            json(&format!(r#"{{"result":{{"user":"ada","expire_at":{soon},"meta":{{"m":[1]}}}}}}"#))
        }
        _ => json(r#"{"result":{"expired":true}}"#),
    });
    let mut ada = Socket::open(&server).await;
    let client = ada.call("connect", "{}").await["connect"]["client"].clone();
    backend.asked();
    assert_eq!(ada.close().await.0, 3005);
    let asked = backend.asked();
    assert_eq!((asked.len(), &*asked[0].path), (1, "/refresh"));
    assert_eq!(
        asked[0].json(),
        json!({
            "client": client, "transport": "websocket", "protocol": "json", "encoding": "json", "user": "ada",
            "meta": {"m": [1]},
        })
    );
}

#[tokio::test]
async fn subscribe_and_sub_refresh_decide_on_subscriptions() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let mut ada = connected(&backend, &server, "ada").await;
    backend.answer(move |asked| match &*asked.path {
        "/subscribe" => json(&format!(
            r#"{{"result":{{"info":{{"role":"guest"}},"data":{{"topic":"x"}},"expire_at":{}}}}}"#,
            unix() + 2
        )),
        _ => json(r#"{"result":{"expired":true}}"#),
    });
    let reply = ada.call("subscribe", r#"{"channel":"chat:one","data":{"key":5}}"#).await;
    assert_eq!(reply["subscribe"]["data"], json!({"topic": "x"}));
    let asked = backend.asked();
    let about = |channel: &str| {
        let mut about = asked[0].json();
        about["channel"] = channel.into();
        about
    };
    let question = about("chat:one");
    assert_eq!(
        question,
        json!({
            "client": question["client"], "transport": "websocket", "protocol": "json", "encoding": "json",
            "user": "ada", "channel": "chat:one", "data": {"key": 5},
        })
    );
    let push = ada.line().await;
    assert_eq!(push["push"]["unsubscribe"]["code"], 2501, "{push}");
    let again = backend.asked();
    assert_eq!(&*again[0].path, "/sub_refresh");
    let mut expected = question;
    expected.as_object_mut().unwrap().remove("data");
    assert_eq!(again[0].json(), expected);
    // Options that are others for this subscription alone.
    backend.say(r#"{"result":{"override":{"force_recovery":{"value":false},"presence":{"value":false}}}}"#);
    let reply = ada.call("subscribe", r#"{"channel":"chat:two"}"#).await;
    assert!(reply["subscribe"]["recoverable"].is_null(), "{reply}");
    let here = ada.call("presence", r#"{"channel":"chat:two"}"#).await;
    assert!(here["presence"]["presence"].as_object().is_none_or(serde_json::Map::is_empty), "{here}");
    backend.asked();
    // Another namespace asks another address.
    backend.say(r#"{"result":{}}"#);
    ada.call("subscribe", r#"{"channel":"bills:1"}"#).await;
    assert_eq!(&*backend.asked()[0].path, "/billing");
}

#[tokio::test]
async fn publish_may_change_the_message_or_not_keep_it() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let mut ada = connected(&backend, &server, "ada").await;
    ada.call("subscribe", r#"{"channel":"chat:one"}"#).await;
    backend.asked();
    backend.say(
        r#"{"result":{"data":{"clean":
        true}}}"#,
    );
    let reply = ada.call("publish", r#"{"channel":"chat:one","data":{"rude":true}}"#).await;
    assert_eq!(reply["publish"]["offset"], 1);
    let asked = backend.asked();
    let question = asked[0].json();
    assert_eq!(
        question,
        json!({
            "client": question["client"], "transport": "websocket", "protocol": "json", "encoding": "json",
            "user": "ada", "channel": "chat:one", "data": {"rude": true},
        })
    );
    backend.say(r#"{"result":{"skip_history":true}}"#);
    let reply = ada.call("publish", r#"{"channel":"chat:one","data":2}"#).await;
    assert!(reply["publish"]["offset"].is_null(), "{reply}");
    let history = ada.call("history", r#"{"channel":"chat:one","limit":10}"#).await;
    let kept = history["history"]["publications"].as_array().unwrap();
    assert_eq!((kept.len(), &kept[0]["data"]), (1, &json!({"clean": true})));
}

#[tokio::test]
async fn rpc_is_carried_out_by_the_backend() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let mut ada = connected(&backend, &server, "ada").await;
    backend.say(r#"{"result":{"data":{"sum":3}}}"#);
    let reply = ada.call("rpc", r#"{"method":"sum","data":[1,2]}"#).await;
    assert_eq!(reply["rpc"]["data"], json!({"sum": 3}));
    let question = backend.asked()[0].json();
    assert_eq!(
        question,
        json!({
            "client": question["client"], "transport": "websocket", "protocol": "json", "encoding": "json",
            "user": "ada", "method": "sum", "data": [1, 2],
        })
    );
}

#[tokio::test]
async fn errors_and_disconnects_are_honoured_everywhere() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let calls = [
        ("subscribe", r#"{"channel":"chat:one"}"#),
        ("publish", r#"{"channel":"chat:one","data":1}"#),
        ("rpc", r#"{"method":"sum"}"#),
    ];
    let mut stranger = Socket::open(&server).await;
    for error in [
        json!({"code": 1000, "message": "not you"}),
        json!({"code": 1001, "message": "later", "temporary": true}),
    ] {
        let answer = json!({"error": error}).to_string();
        backend.answer(move |_| json(&answer));
        let reply = stranger.call("connect", "{}").await;
        assert_eq!(reply["error"], error);
        let mut ada = connected(&backend, &server, "ada").await;
        let answer = json!({"error": error}).to_string();
        backend.answer(move |_| json(&answer));
        for (verb, request) in calls {
            assert_eq!(ada.call(verb, request).await["error"], error, "{verb}");
        }
    }
    backend.say(r#"{"disconnect":{"code":4500,"reason":"banned"}}"#);
    stranger.send(r#"{"id":9,"connect":{}}"#).await;
    assert_eq!(stranger.close().await.0, 4500);
    for (verb, request) in calls {
        let mut ada = connected(&backend, &server, "ada").await;
        backend.say(r#"{"disconnect":{"code":4500,"reason":"banned"}}"#);
        ada.send(&format!(r#"{{"id":9,"{verb}":{request}}}"#)).await;
        let (code, reason, _) = ada.close().await;
        assert_eq!((code, &*reason), (4500, "banned"), "{verb}");
    }
    until("everybody is gone", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn answers_may_come_in_base64() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    // {"name":"Ada"}, {"hello":1}, {"role":"owner"}, [2]; where both are there, base64 counts.
    backend.say(
        r#"{"result":{"user":"ada","info":"hidden","b64info":"eyJuYW1lIjoiQWRhIn0=","b64data":"eyJoZWxsbyI6MX0=",
           "subs":{"chat:two":{"b64info":"eyJyb2xlIjoib3duZXIifQ==","b64data":"WzJd"}}}}"#,
    );
    let mut ada = Socket::open(&server).await;
    let result = ada.call("connect", "{}").await["connect"].clone();
    assert_eq!((&result["data"], &result["subs"]["chat:two"]["data"]), (&json!({"hello": 1}), &json!([2])));
    let here = async |ada: &mut Socket, channel: &str| {
        let presence = ada.call("presence", &format!(r#"{{"channel":"{channel}"}}"#)).await;
        presence["presence"]["presence"][result["client"].as_str().unwrap()].clone()
    };
    let two = here(&mut ada, "chat:two").await;
    assert_eq!((&two["conn_info"], &two["chan_info"]), (&json!({"name": "Ada"}), &json!({"role": "owner"})));

    backend.say(r#"{"result":{"b64info":"WzJd","b64data":"WzJd"}}"#);
    let reply = ada.call("subscribe", r#"{"channel":"chat:one"}"#).await;
    assert_eq!(reply["subscribe"]["data"], json!([2]));
    assert_eq!(here(&mut ada, "chat:one").await["chan_info"], json!([2]));

    backend.say(r#"{"result":{"b64data":"eyJoZWxsbyI6MX0="}}"#);
    ada.call("publish", r#"{"channel":"chat:one","data":2}"#).await;
    let history = ada.call("history", r#"{"channel":"chat:one","limit":10}"#).await;
    assert_eq!(history["history"]["publications"][0]["data"], json!({"hello": 1}));
    assert_eq!(ada.call("rpc", r#"{"method":"x"}"#).await["rpc"]["data"], json!({"hello": 1}));
}

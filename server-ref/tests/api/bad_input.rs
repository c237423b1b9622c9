//! What the API makes of bodies that no good client sends.

use crate::support::{KEY, answer, start};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn what_was_wrong_is_said() {
    let server = start(|_| {}).await;
    let cases: &[(&str, &str, u32, &str)] = &[
        ("publish", "", 107, "EOF"),
        ("publish", "{", 107, "EOF"),
        ("publish", "\u{0}\u{1}", 107, "expected an object"),
        ("publish", r#"["chat:a",1]"#, 107, "expected an object"),
        ("publish", "null", 107, "expected an object"),
        ("publish", "{} trailing", 107, "missing field `channel`"),
        ("publish", r#"{"channel":"chat:a","data":1} more"#, 107, "trailing"),
        ("publish", r#"{"channel":"chat:a"}"#, 107, "missing field `data`"),
        ("publish", r#"{"data":1}"#, 107, "missing field `channel`"),
        (
            "publish",
            r#"{"channel":7,"data":1}"#,
            107,
            "channel: invalid type: integer `7`, expected a string",
        ),
        ("publish", r#"{"channel":"","data":1}"#, 107, "1 to 255"),
        ("publish", r#"{"channel":"chat:\n","data":1}"#, 107, "1 to 255"),
        ("publish", r#"{"channel":"nowhere:a","data":1}"#, 102, "unknown channel"),
        ("publish", r#"{"channel":"chat:a","data":1,"tags":{"a":{"b":1}}}"#, 107, "tags.a"),
        ("publish", r#"{"channel":"chat:a","data":1,"skip_history":"yes"}"#, 107, "skip_history"),
        ("publish", r#"{"channel":"chat:a","b64data":"%"}"#, 107, "b64data: not base64"),
        ("publish", r#"{"channel":"chat:a","b64data":"MQ"}"#, 107, "b64data: not base64"),
        (
            "publish",
            r#"{"channel":"chat:a","b64data":"/w=="}"#,
            107,
            "b64data: what it holds is not UTF-8; payloads are JSON, binary ones are not supported",
        ),
        (
            "publish",
            r#"{"channel":"chat:a","data":1,"b64data":"aGVsbG8="}"#,
            107,
            "is not JSON; payloads are JSON",
        ),
        (
            "broadcast",
            r#"{"channels":["chat:a"],"b64data":"aGVsbG8="}"#,
            107,
            "b64data: what it holds is not JSON",
        ),
        ("subscribe", r#"{"user":"u","channel":"chat:a","b64info":"!"}"#, 107, "b64info: not base64"),
        (
            "subscribe",
            r#"{"user":"u","channel":"chat:a","b64data":"e30K//8="}"#,
            107,
            "b64data: what it holds",
        ),
        ("refresh", r#"{"user":"u","b64info":"aGVsbG8="}"#, 107, "b64info: what it holds is not JSON"),
        ("broadcast", r#"{"channels":["chat:a",4],"data":1}"#, 107, "channels[1]"),
        ("broadcast", r#"{"channels":[],"data":1}"#, 107, "channels are missing"),
        ("broadcast", r#"{"channels":"chat:a","data":1}"#, 107, "channels"),
        ("history", r#"{"channel":"chat:a","since":{"offset":-1}}"#, 107, "since.offset"),
        ("history", r#"{"channel":"chat:a","limit":1e9}"#, 107, "limit"),
        ("history", r#"{"channel":"nowhere:a"}"#, 102, "unknown channel"),
        ("history", r#"{"channel":"plain"}"#, 108, "not available"),
        ("presence", r#"{"channel":"plain"}"#, 108, "not available"),
        ("presence_stats", "{}", 107, "missing field `channel`"),
        ("history_remove", r#"{"channel":"plain"}"#, 108, "not available"),
        ("channels", r#"{"pattern":"["}"#, 107, "pattern"),
        ("subscribe", r#"{"user":"ada","channel":"nowhere:a"}"#, 102, "unknown channel"),
        (
            "subscribe",
            r#"{"user":"ada","channel":"chat:a","override":{"presence":true}}"#,
            107,
            "override.presence",
        ),
        ("unsubscribe", r#"{"user":"ada"}"#, 107, "missing field `channel`"),
        ("disconnect", "{}", 107, "a user, client or session is missing"),
        ("disconnect", r#"{"user":"ada","disconnect":{"code":70000}}"#, 107, "3000"),
        ("refresh", r#"{"user":"ada","expire_at":"soon"}"#, 107, "expire_at"),
        ("refresh", r#"{"info":1}"#, 107, "a user, client or session is missing"),
        ("batch", r#"{"commands":{}}"#, 107, "commands"),
        ("map_publish", "{}", 104, "map_publish"),
        ("Publish", "{}", 104, "method not found: Publish"),
    ];
    for (method, body, code, what) in cases {
        let (status, answer) = server.text(method, *body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["error"]["code"], *code, "{method} {body}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(what), "{method} {body}: {message}");
    }
    // It is as good as new.
    let published = server.result("publish", json!({"channel": "chat:a", "data": null})).await;
    assert_eq!(published["offset"], 1);
}

#[tokio::test]
async fn bodies_and_messages_have_limits() {
    let server = start(|config| config.http_api.max_request_body_size = 100_000).await;
    let message = |size: usize| json!({"channel": "chat:a", "data": "x".repeat(size)}).to_string();
    let (_, answer) = server.text("publish", message(65_000)).await;
    assert_eq!(answer["result"]["offset"], 1);
    for (size, named) in [
        (66_000, "client.message_size_limit"),
        (101_000, "http_api.max_request_body_size"),
        (20_000_000, "http_api.max_request_body_size"),
    ] {
        let (status, answer) = server.text("publish", message(size)).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::OK, &json!(106)));
        assert!(answer["error"]["message"].as_str().unwrap().contains(named), "{answer}");
    }
    let tags: serde_json::Map<String, Value> =
        (0..3000).map(|number| (format!("tag-{number}"), json!("some value of a tag"))).collect();
    let (_, answer) =
        server.text("publish", json!({"channel": "chat:a", "data": 1, "tags": tags}).to_string()).await;
    assert_eq!(answer["error"]["code"], 106);
}

#[tokio::test]
async fn one_bad_command_in_a_batch_harms_no_other() {
    let server = start(|_| {}).await;
    let publish = |data: u32| json!({"publish": {"channel": "chat:a", "data": data}});
    let commands = json!([
        publish(1),
        {"publish": {"channel": "nowhere:a", "data": 1}},
        publish(2),
        {"publish": {"channel": "chat:a"}},
        {"nothing": {}},
        {"publish": {"channel": "chat:a", "data": 1}, "info": {}},
        5,
        {"batch": {"commands": []}},
        {},
        {"history": {"channel": "chat:a", "limit": -1}},
        publish(3),
    ]);
    let replies = server.call("batch", json!({"commands": commands})).await["replies"].clone();
    let codes: Vec<&Value> =
        replies.as_array().unwrap().iter().map(|reply| &reply["error"]["code"]).collect();
    assert_eq!(
        codes.iter().map(|code| code.as_u64().unwrap_or(0)).collect::<Vec<_>>(),
        [0, 102, 0, 107, 104, 107, 107, 107, 107, 0, 0]
    );
    assert_eq!(replies[9]["history"]["publications"].as_array().unwrap().len(), 2);
    assert_eq!(replies[10]["publish"]["offset"], 3);
    let again = json!({"commands": commands, "parallel": true});
    let replies = server.call("batch", again).await["replies"].clone();
    assert_eq!(replies.as_array().unwrap().iter().filter(|reply| reply.get("error").is_some()).count(), 7);
    let head = server.result("history", json!({"channel": "chat:a"})).await;
    assert_eq!(head["offset"], 6);
}

#[tokio::test]
async fn the_answers_of_a_batch_have_a_bound() {
    let server = start(|_| {}).await;
    let publish = |data: Value| json!({"publish": {"channel": "chat:large", "data": data}});
    let fill: Vec<Value> = (0..100).map(|_| publish(json!("x".repeat(60_000)))).collect();
    server.call("batch", json!({"commands": fill})).await;
    let mut commands = vec![json!({"history": {"channel": "chat:large", "limit": -1}}); 14];
    commands.push(publish(json!("the last")));
    for parallel in [false, true] {
        let replies = server.call("batch", json!({"commands": commands, "parallel": parallel})).await;
        let replies = replies["replies"].as_array().unwrap();
        let read = replies.iter().filter(|reply| reply["history"].is_object()).count();
        assert!((11..14).contains(&read) || parallel, "{read}");
        let refused: Vec<&Value> = replies.iter().filter(|reply| reply["error"].is_object()).collect();
        assert!(!refused.is_empty() || parallel);
        assert!(refused.iter().all(|reply| reply["error"]["code"] == 106), "{refused:?}");
        assert!(replies[14]["publish"]["offset"].is_u64(), "nobody is harmed who reads nothing");
    }
}

#[tokio::test]
async fn numbers_keys_and_depths_that_nobody_sends() {
    let server = start(|_| {}).await;
    server.result("publish", json!({"channel": "chat:a", "data": 1})).await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, String, Option<u32>)> = vec![
        ("history", r#"{"channel":"chat:a","limit":9,"since":{"offset":18446744073709551615}}"#.into(), None),
        (
            "history",
            r#"{"channel":"chat:a","limit":9,"reverse":true,"since":{"offset":18446744073709551615}}"#.into(),
            None,
        ),
        ("history", r#"{"channel":"chat:a","since":{"offset":18446744073709551616}}"#.into(), Some(107)),
        ("history", r#"{"channel":"chat:a","limit":-2147483648}"#.into(), None),
        ("refresh", r#"{"user":"a","expire_at":9223372036854775807}"#.into(), None),
        ("refresh", r#"{"user":"a","expire_at":-9223372036854775808}"#.into(), None),
        ("refresh", r#"{"user":"a","expire_at":9223372036854775808}"#.into(), Some(107)),
        ("publish", r#"{"channel":"chat:a","channel":"chat:b","data":1}"#.into(), Some(107)),
        ("publish", format!(r#"{{"channel":"chat:a","data":{}}}"#, deep(200)), Some(107)),
        ("publish", format!(r#"{{"channel":"chat:a","data":{}}}"#, deep(1_000_000)), Some(107)),
        ("publish", format!(r#"{{"channel":"chat:a","data":1,"more":{}}}"#, deep(1_000_000)), None),
        ("subscribe", format!(r#"{{"user":"a","channel":"chat:a","info":{}}}"#, deep(200)), Some(107)),
        ("channels", json!({"pattern": "{".repeat(1000) + &"}".repeat(1000)}).to_string(), Some(107)),
        ("channels", json!({"pattern": "*a".repeat(20_000)}).to_string(), Some(107)),
    ];
    for (method, body, code) in cases {
        let (status, answer) = server.text(method, body.clone()).await;
        assert_eq!(status, StatusCode::OK);
        let found = answer["error"]["code"].as_u64().map(|code| u32::try_from(code).unwrap());
        assert_eq!(found, code, "{method} {body:.80}: {answer}");
    }
    let nested = r#"{"commands":[{"batch":"#.repeat(2000) + "{}" + &"}]}".repeat(2000);
    let (_, answer) = server.text("batch", nested).await;
    assert_eq!(answer["replies"][0]["error"]["code"], 107);
    let many = format!(r#"{{"commands":[{}5]}}"#, "5,".repeat(199_999));
    let (_, answer) = server.text("batch", many).await;
    assert_eq!(answer["replies"].as_array().unwrap().len(), 200_000);
}

#[tokio::test]
async fn errors_have_a_status_where_that_is_wanted() {
    let body = r#"{"channel":"nowhere:a","data":1}"#;
    let server = start(|_| {}).await;
    let request = server.post("publish", body).header("X-API-Key", KEY);
    let (status, told) = answer(request.header("X-Centrifugo-Error-Mode", "transport")).await;
    assert_eq!((status, &told["error"]["code"]), (StatusCode::NOT_FOUND, &json!(102)));
    let server =
        start(|config| config.http_api.error_mode = homing_server::config::ErrorMode::Transport).await;
    for (method, body, expected) in [
        ("publish", body, StatusCode::NOT_FOUND),
        ("publish", "{", StatusCode::BAD_REQUEST),
        ("nothing", "{}", StatusCode::NOT_FOUND),
        ("history", r#"{"channel":"plain"}"#, StatusCode::BAD_REQUEST),
        ("history", r#"{"channel":"chat:a","since":{"epoch":"x"}}"#, StatusCode::RANGE_NOT_SATISFIABLE),
        ("info", "{}", StatusCode::OK),
    ] {
        assert_eq!(server.text(method, body).await.0, expected, "{method} {body}");
    }
}

/// Bodies that are good, one for each method.
const GOOD: [(&str, &str); 13] = [
    ("publish", r#"{"channel":"chat:a","data":{"n":1},"tags":{"a":"b"},"idempotency_key":"k"}"#),
    ("broadcast", r#"{"channels":["chat:a","chat:b"],"b64data":"MQ==","skip_history":true}"#),
    ("subscribe", r#"{"user":"u","channel":"chat:a","info":{},"override":{"presence":{"value":false}}}"#),
    ("unsubscribe", r#"{"user":"u","channel":"chat:a","client":"c"}"#),
    ("disconnect", r#"{"user":"u","whitelist":["c"],"disconnect":{"code":4000,"reason":"r"}}"#),
    ("refresh", r#"{"user":"u","expire_at":4000000000}"#),
    ("presence", r#"{"channel":"chat:a"}"#),
    ("presence_stats", r#"{"channel":"chat:a"}"#),
    ("history", r#"{"channel":"chat:a","limit":3,"since":{"offset":1,"epoch":""},"reverse":true}"#),
    ("history_remove", r#"{"channel":"chat:a"}"#),
    ("channels", r#"{"pattern":"{chat,news}:[a-c]*"}"#),
    ("info", "{}"),
    ("batch", r#"{"commands":[{"publish":{"channel":"chat:a","data":1}},{"info":{}}],"parallel":false}"#),
];

#[tokio::test]
async fn bent_bodies_are_answered_with_what_is_wrong() {
    let server = start(|_| {}).await;
    let mut refused = 0;
    for (method, good) in GOOD {
        let (status, answer) = server.text(method, good).await;
        assert_eq!((status, answer.get("error")), (StatusCode::OK, None), "{method}");
        for at in 0..good.len() {
            let bent = |byte: u8| {
                let mut body = good.as_bytes().to_vec();
                body[at] = byte;
                body
            };
            let cut = good.as_bytes()[..at].to_vec();
            for body in [cut, bent(b'"'), bent(b'{'), bent(b'9'), bent(0xff), bent(b'\\')] {
                let shown = String::from_utf8_lossy(&body).into_owned();
                let (status, answer) = server.text(method, body).await;
                assert_eq!(status, StatusCode::OK, "{method} {shown}");
                let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
                assert!(
                    matches!(&*fields, [one] if ["result", "error", "replies"].contains(&&***one)),
                    "{shown}: {answer}"
                );
                if let Some(error) = answer.get("error") {
                    assert!(error["code"].is_u64() && !error["message"].as_str().unwrap().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

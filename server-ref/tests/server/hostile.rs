//! Frames that no good client sends: each ends that connection with its code, and nothing else.

use crate::socket::{Frame, Socket, frame, start, until};
use homing_server::config::Span;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
    let server = start(|_| {}).await;
    let mut witness = Socket::connected(&server).await;
    witness.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let deep = format!(r#"{{"id":9,"rpc":{{"data":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let huge = [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("no JSON", frame(0x81, b"hello"), 3501),
        ("nothing", frame(0x81, b""), 3501),
        ("half JSON", frame(0x81, b"{\"id\":1,\"publish\":{"), 3501),
        ("deep JSON", frame(0x81, deep.as_bytes()), 3501),
        ("a number that is none", frame(0x81, br#"{"id":1e9999,"ping":{}}"#), 3501),
        ("no UTF-8", frame(0x81, &[0xff, 0xfe]), 1007),
        ("binary", frame(0x82, b"{}"), 3506),
        ("no mask", vec![0x81, 0x02, b'{', b'}'], 1002),
        ("reserved bits", frame(0xf1, b"{}"), 1002),
        ("an unknown kind", frame(0x8b, b""), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a long ping", frame(0x89, &[0; 200]), 1002),
        ("a frame above a megabyte", huge.to_vec(), 1009),
        ("a length of many exabytes", vec![0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255], 1009),
        (
            "fragments above a megabyte",
            [frame(0x01, &[b' '; 600_000]), frame(0x80, &[b' '; 600_000])].concat(),
            1009,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut socket = Socket::connected(&server).await;
        socket.call("subscribe", r#"{"channel":"chat:a"}"#).await;
        socket.send_bytes(&bytes).await;
        assert_eq!(socket.close().await.0, code, "{name}");
    }
    until("the end of all but the witness", || server.handle.connections() == 1).await;
    witness.call("publish", r#"{"channel":"chat:a","data":1}"#).await;
}

#[tokio::test]
async fn a_megabyte_of_small_commands_is_answered() {
    let server = start(|config| config.client.command_rate_limit = 0).await;
    let mut socket = Socket::connected(&server).await;
    let command = r#"{"id":9,"ping":{}}"#;
    let count = 1_048_576 / (command.len() + 1);
    socket.send(&vec![command; count].join("\n")).await;
    for _ in 0..count {
        assert_eq!(socket.line().await["id"], 9);
    }
}

#[tokio::test]
async fn a_client_that_sends_without_reading_is_slowed_down_and_not_cut() {
    let server = start(|config| {
        config.client.command_rate_limit = 0;
        config.client.queue_max_size = 100_000;
    })
    .await;
    let mut socket = Socket::connected(&server).await;
    // Tens of megabytes in both directions: more than the buffers of the socket hold.
    let data = "x".repeat(60_000);
    let ids = 1000..1300;
    let command = |id| format!(r#"{{"id":{id},"rpc":{{"method":"echo","data":"{data}"}}}}"#);
    let commands: Vec<u8> = ids.clone().flat_map(|id| frame(0x81, command(id).as_bytes())).collect();
    let mut twin = socket.twin();
    let writing = tokio::spawn(async move { twin.write_all(&commands).await });
    for id in ids {
        assert_eq!(socket.line().await["id"], id);
    }
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn catching_up_on_large_messages_cuts_nobody() {
    let server = start(|config| config.client.queue_max_size = 100_000).await;
    let mut writer = Socket::connected(&server).await;
    let first = writer.call("subscribe", r#"{"channel":"chat:a"}"#).await["subscribe"].clone();
    for _ in 0..50 {
        writer.call("publish", &format!(r#"{{"channel":"chat:a","data":"{}"}}"#, "x".repeat(60_000))).await;
    }
    let mut reader = Socket::connected(&server).await;
    let subscribe =
        format!(r#"{{"channel":"chat:a","recover":true,"offset":34,"epoch":{}}}"#, first["epoch"]);
    let result = reader.call("subscribe", &subscribe).await["subscribe"].clone();
    assert_eq!(result["publications"].as_array().unwrap().len(), 16);
    // A page holds a megabyte: the rest is asked for.
    let (mut seen, mut pages) = (0, 0);
    while seen < 50 {
        let since = format!(r#"{{"epoch":{},"offset":{seen}}}"#, first["epoch"]);
        let page =
            reader.call("history", &format!(r#"{{"channel":"chat:a","limit":-1,"since":{since}}}"#)).await;
        seen += page["history"]["publications"].as_array().unwrap().len();
        pages += 1;
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_costs_others_nothing() {
    let server = start(|config| {
        config.client.queue_max_size = 200_000;
        config.websocket.write_timeout = Span::seconds(30);
        config.client.command_rate_limit = 0;
    })
    .await;
    let mut slow = Socket::connected(&server).await;
    slow.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let (mut reader, mut writer) = (Socket::connected(&server).await, Socket::connected(&server).await);
    reader.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let publish = format!(r#"{{"channel":"chat:a","data":"{}"}}"#, "x".repeat(60_000));
    let mut published = 0;
    // The kernel takes a few megabytes before the queue of the slow one grows.
    while server.server.node().hub.room("chat:a").unwrap().members() == 2 {
        writer.call("publish", &publish).await;
        published += 1;
        assert!(published < 2000, "the slow one was never cut");
        let push = reader.line().await;
        assert_eq!(push["push"]["pub"]["offset"], published);
    }
    // It finds out why when it reads at last, unless the farewell found no room either.
    loop {
        match slow.frame().await {
            Frame::Text(_) => {}
            Frame::Close(code, reason) => {
                assert_eq!(code, 3008, "{reason}");
                break;
            }
            Frame::End => break,
            other => panic!("{other:?}"),
        }
    }
    until("its end", || server.handle.connections() == 2).await;
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_given_up() {
    let server = start(|config| {
        config.client.queue_max_size = 50_000_000;
        config.websocket.write_timeout = Span::from_millis(300);
        config.client.command_rate_limit = 0;
    })
    .await;
    let mut stuck = Socket::connected(&server).await;
    stuck.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let mut writer = Socket::connected(&server).await;
    let publish = format!(r#"{{"channel":"chat:a","data":"{}"}}"#, "x".repeat(60_000));
    for _ in 0..300 {
        writer.call("publish", &publish).await;
    }
    until("the stuck one's end", || {
        server.server.node().hub.room("chat:a").is_none_or(|room| room.members() == 0)
    })
    .await;
}

#[tokio::test]
async fn half_a_frame_and_no_more_is_no_sign_of_life() {
    let server = start(|config| {
        config.client.ping_interval = Span::from_millis(100);
        config.client.pong_timeout = Span::from_millis(50);
    })
    .await;
    let mut socket = Socket::connected(&server).await;
    let whole = frame(0x81, format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(1000)).as_bytes());
    socket.send_bytes(&whole[..500]).await;
    assert_eq!(socket.close().await.0, 3012);
}

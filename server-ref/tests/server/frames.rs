//! Frames on the wire: batches, fragments, pings, large messages.

use crate::socket::{Frame, Socket, frame, start};
use serde_json::json;

#[tokio::test]
async fn a_ping_is_answered_and_a_close_too() {
    let server = start(|_| {}).await;
    let mut socket = Socket::connected(&server).await;
    socket.send_bytes(&frame(0x89, b"are you there")).await;
    assert_eq!(socket.frame().await, Frame::Pong(b"are you there".to_vec()));
    socket.send_bytes(&frame(0x8a, b"")).await;
    socket.send_bytes(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(socket.close().await.0, 1000);
    assert_eq!(socket.frame().await, Frame::End);
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_one_message() {
    let server = start(|_| {}).await;
    let mut socket = Socket::open(&server).await;
    for byte in
        [frame(0x01, b"{\"id\":1,"), frame(0x89, b"p"), frame(0x00, b"\"conn"), frame(0x80, b"ect\":{}}")]
            .concat()
    {
        socket.send_bytes(&[byte]).await;
    }
    assert_eq!(socket.frame().await, Frame::Pong(b"p".to_vec()));
    assert_eq!(socket.line().await["id"], 1);
}

#[tokio::test]
async fn replies_to_one_frame_come_in_one_frame() {
    let server = start(|_| {}).await;
    let mut socket = Socket::connected(&server).await;
    let commands: Vec<_> = (10..60).map(|id| format!(r#"{{"id":{id},"ping":{{}}}}"#)).collect();
    socket.send(&commands.join("\n")).await;
    let Frame::Text(text) = socket.frame().await else { panic!("no text") };
    let expected: Vec<_> = (10..60).map(|id| format!(r#"{{"id":{id},"ping":{{}}}}"#)).collect();
    assert_eq!(text.split('\n').collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn messages_of_every_size_arrive_whole_and_in_order() {
    let server = start(|_| {}).await;
    let (mut writer, mut reader) = (Socket::connected(&server).await, Socket::connected(&server).await);
    reader.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let sizes = [0, 1, 100, 125, 126, 127, 8000, 16_384, 65_000, 65_534];
    for size in sizes {
        let reply =
            writer.call("publish", &format!(r#"{{"channel":"chat:a","data":"{}"}}"#, "x".repeat(size))).await;
        assert!(reply["publish"].is_object(), "{size}: {reply}");
    }
    let too_large = format!(r#"{{"channel":"chat:a","data":"{}"}}"#, "x".repeat(65_535));
    assert_eq!(writer.call("publish", &too_large).await["error"]["code"], 106);
    for (at, size) in sizes.into_iter().enumerate() {
        let push = reader.line().await;
        let publication = &push["push"]["pub"];
        assert_eq!(publication["offset"], json!(at + 1));
        assert_eq!(publication["data"].as_str().unwrap().len(), size);
    }
}

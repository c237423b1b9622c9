//! A client whose response comes from one node and whose commands go to others: no node has to be stuck to.

use crate::{
    node::{Node, soon, until},
    server::RedisServer,
};
use serde_json::{Value, json};

struct Streamed {
    http: reqwest::Client,
    response: reqwest::Response,
    rest: String,
    lines: Vec<Value>,
}

impl Streamed {
    async fn open(node: &Node) -> Self {
        let http = reqwest::Client::new();
        let first = json!({"id": 1, "connect": {"data": {"user": "ada"}}}).to_string();
        let url = format!("http://127.0.0.1:{}/connection/http_stream", node.port());
        let response = soon(http.post(url).body(first).send()).await.unwrap();
        Self { http, response, rest: String::new(), lines: Vec::new() }
    }

    /// The next message that holds; those before it are dropped.
    async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            while !self.lines.is_empty() {
                let line = self.lines.remove(0);
                if holds(&line) {
                    return line;
                }
            }
            let piece = soon(self.response.chunk()).await.unwrap().expect("the response goes on");
            self.rest.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((line, rest)) = self.rest.split_once('\n') {
                self.lines.push(serde_json::from_str(line).unwrap());
                self.rest = rest.to_owned();
            }
        }
    }

    async fn send(&self, node: &Node, piece: Value) -> u16 {
        let url = format!("http://127.0.0.1:{}/emulation", node.port());
        soon(self.http.post(url).body(piece.to_string()).send()).await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_their_session_from_every_node() {
    let redis = RedisServer::start().await;
    let nodes = [Node::start(&redis.url()), Node::start(&redis.url()), Node::start(&redis.url())];
    let mut ada = Streamed::open(&nodes[0]).await;
    let reply = ada.until(|line| line["id"] == 1).await;
    let (session, node) = (reply["connect"]["session"].clone(), reply["connect"]["node"].clone());
    let piece = |command: Value| json!({"session": session, "node": node, "data": command.to_string()});

    let subscribe = json!({"id": 2, "subscribe": {"channel": "chat:streamed"}});
    assert_eq!(ada.send(&nodes[1], piece(subscribe)).await, 204);
    ada.until(|line| line["id"] == 2 && line["subscribe"].is_object()).await;
    for number in 0..30_usize {
        let publish = json!({"id": 3 + number, "publish": {"channel": "chat:streamed", "data": number}});
        assert_eq!(ada.send(&nodes[number % 3], piece(publish)).await, 204);
    }
    for number in 0..30 {
        let push = ada.until(|line| line["push"]["pub"].is_object()).await;
        assert_eq!(
            (&push["push"]["pub"]["data"], &push["push"]["pub"]["offset"]),
            (&json!(number), &json!(number + 1))
        );
    }

    // Nobody is reached by a guess, from whatever node.
    for (at, guess) in ["", "0", node.as_str().unwrap()].into_iter().enumerate() {
        let publish =
            json!({"id": 99, "publish": {"channel": "chat:streamed", "data": "forged"}}).to_string();
        let forged = json!({"session": guess, "node": node, "data": publish});
        assert_eq!(ada.send(&nodes[at], forged).await, 404);
    }
    // What is no id goes nowhere, whatever it holds of a message between nodes.
    for id in ["no-node", "* 0 phantom\n", &format!("{} 0 phantom\n", node.as_str().unwrap())] {
        let forged = json!({"session": session, "node": id, "data": ""});
        assert_eq!(ada.send(&nodes[1], forged).await, 404);
    }
    let astray = json!({"session": session, "node": "00000000-0000-4000-8000-000000000000", "data": ""});
    // A node that has just started asks, for it does not yet know who is there.
    until(async || ada.send(&nodes[1], astray.clone()).await == 404).await;
    let publish = json!({"id": 100, "publish": {"channel": "chat:streamed", "data": "hers"}});
    assert_eq!(ada.send(&nodes[2], piece(publish)).await, 204);
    let push = ada.until(|line| line["push"]["pub"].is_object()).await;
    assert_eq!((&push["push"]["pub"]["data"], &push["push"]["pub"]["offset"]), (&json!("hers"), &json!(31)));
}

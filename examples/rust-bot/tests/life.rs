//! The bot as a user starts it, against a server in development mode: it answers, survives a restart of the
//! server, and ends when it is told to.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing::{Decode, Delivery, Messages, RealtimeClient};
use homing_server::{Config, Server, config, serve::listen};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpSocket},
    process::{Child, Command},
    runtime::Runtime,
    time::timeout,
};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("it should have happened by now")
}

/// A server with an empty log on threads of its own; dropping it ends it as a crash would.
struct Embedded(Option<Runtime>);

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(address: SocketAddr, config: Config) -> (Embedded, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let started = runtime.spawn(async move {
        let server = Server::builder().config(config).build().await.unwrap();
        let listener = bind(address).await;
        let address = listener.local_addr().unwrap();
        tokio::spawn(listen(listener, server.router()));
        address
    });
    let address = soon(started).await.unwrap();
    (Embedded(Some(runtime)), address)
}

/// What `--insecure` makes of the settings that hold without a file.
fn insecure() -> Config {
    let mut config = config::development();
    config.client.insecure = true;
    config
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Listens also where the server before is still on its way out.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        match socket.bind(address).and_then(|()| socket.listen(64)) {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn bot(url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rust-bot"))
        .args([url, "den", "Ada"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The bot's next note.
async fn answer(messages: &mut Messages) -> Value {
    soon(async {
        loop {
            if let Delivery::Message(message) = messages.next().await.unwrap().unwrap() {
                let note: Value = message.decode().unwrap();
                if note["bot"] == true {
                    // The server vouches for the name that the bot gave when it connected.
                    let info = message.info.unwrap();
                    assert_eq!(info.user, "bot-ada");
                    assert_eq!(info.conn_info.unwrap().decode::<Value>().unwrap()["name"], "Ada");
                    return note;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn it_answers_survives_a_restart_and_ends_when_told() {
    let (server, address) = serve(anywhere(), insecure()).await;
    let url = format!("ws://{address}/connection/websocket");
    let mut bot = bot(&url);
    let mut lines = BufReader::new(bot.stdout.take().unwrap()).lines();
    assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("here: chat:den"));

    let client = RealtimeClient::builder(url).data(&json!({ "user": "eve" })).build().unwrap();
    client.connect().unwrap();
    let room = client.channel("chat:den");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let say = async |text: &str| {
        while soon(room.publish(&json!({ "id": "1", "name": "Eve", "text": text }))).await.is_err() {}
    };
    soon(room.publish(&json!("no note at all"))).await.unwrap();
    say("nobody in particular").await;
    say("are you there, ADA?").await;
    let note = answer(&mut messages).await;
    assert_eq!((&note["name"], &note["user"]), (&json!("Ada"), &json!("bot-ada")));
    assert_eq!(note["text"], "Hello Eve! You said \"are you there, ADA?\", and this is answer 1.");

    drop(server);
    let (_server, _) = serve(address, insecure()).await;
    // A message in a log that was made anew while the bot was away belongs to what it missed.
    soon(async {
        while soon(room.presence().get()).await.map_or(0, |members| members.len()) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    say("still there, Ada?").await;
    assert_eq!(
        answer(&mut messages).await["text"],
        "Hello Eve! You said \"still there, Ada?\", and this is answer 2."
    );

    let pid = bot.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert!(soon(bot.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_bot_that_was_killed_answers_once_what_came_meanwhile() {
    let (_server, address) = serve(anywhere(), insecure()).await;
    let url = format!("ws://{address}/connection/websocket");
    let folder = std::env::temp_dir().join(format!("rust-bot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let bot = || {
        let mut bot = Command::new(env!("CARGO_BIN_EXE_rust-bot"));
        bot.args([&url, "den", "Ada"]).env("HOMING_STORE", folder.join("bot.redb"));
        bot.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
    };
    let mut first = bot();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("here: chat:den"));

    let client = RealtimeClient::builder(&url).data(&json!({ "user": "eve" })).build().unwrap();
    client.connect().unwrap();
    let room = client.channel("chat:den");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let say = async |text: &str| {
        soon(room.publish(&json!({ "id": "1", "name": "Eve", "text": text }))).await.unwrap();
    };
    say("Ada, one?").await;
    assert!(answer(&mut messages).await["text"].as_str().unwrap().contains("one?"));
    soon(first.kill()).await.unwrap();
    say("Ada, two?").await;
    say("nobody in particular").await;
    say("Ada, three?").await;

    let mut second = bot();
    let mut lines = BufReader::new(second.stdout.take().unwrap()).lines();
    assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("here: chat:den"));
    assert!(soon(lines.next_line()).await.unwrap().unwrap().starts_with("missed: "));
    let mut answers = Vec::new();
    while answers.last().is_none_or(|text: &String| !text.contains("three?")) {
        answers.push(answer(&mut messages).await["text"].as_str().unwrap().to_owned());
    }
    // The kill may have come before the first one was known to be processed: it may be answered again.
    let answered = |word: &str| answers.iter().filter(|text| text.contains(word)).count();
    assert_eq!((answered("two?"), answered("three?")), (1, 1), "{answers:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn it_says_why_when_it_is_refused() {
    let (_server, address) = serve(anywhere(), config::development()).await;
    let url = format!("ws://{address}/connection/websocket");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rust-bot"));
    let output = soon(command.arg(url).env("HOMING_TOKEN", "no.real.token").output()).await.unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("3500"), "{words}");
}

//! A chat bot: it joins a room, answers whoever mentions it, and stays through cuts and server restarts. With a
//! file to keep its place and its answers in, it answers after a restart of its own what came meanwhile.
//!
//! `rust-bot [url] [room] [name] [file]`, or the variables HOMING_URL, HOMING_ROOM, HOMING_NAME, HOMING_STORE. A
//! signed token goes into HOMING_TOKEN; without one a server in development mode takes the bot's word for who it
//! is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its face")]

use homing::{Channel, Decode, Delivery, FileStorage, RealtimeClient};
use serde::{Deserialize, Serialize};
use std::{env, error::Error, time::Duration};

/// A message of the chat, as all its members write it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    id: String,
    user: String,
    name: String,
    text: String,
    bot: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |at: usize, variable: &str, otherwise: &str| {
        env::args().nth(at).or_else(|| env::var(variable).ok()).unwrap_or_else(|| otherwise.to_owned())
    };
    let url = setting(1, "HOMING_URL", "ws://127.0.0.1:8000/connection/websocket");
    let room = setting(2, "HOMING_ROOM", "lobby");
    let name = setting(3, "HOMING_NAME", "Rusty");
    let token = env::var("HOMING_TOKEN").unwrap_or_default();
    let who = serde_json::json!({ "user": user(&name), "info": { "name": name, "bot": true } });

    let file = setting(4, "HOMING_STORE", "");

    let mut builder = RealtimeClient::builder(url).name("rust-bot", "1").token(token).data(&who);
    if !file.is_empty() {
        builder = builder.storage(FileStorage::at(file));
    }
    let client = builder.build()?;
    client.connect()?;
    let room = client.channel(format!("chat:{room}")).durable();
    let ended = tokio::select! {
        ended = chat(&room, &name) => ended,
        refused = client.disconnected() => Err(refused.into()),
        () = stopped() => Ok(()),
    };
    client.close(Duration::from_secs(2)).await;
    ended
}

/// Reads the room and answers. The client reconnects by itself and brings what was missed meanwhile; a message
/// counts as processed when its answer is in the outbox.
async fn chat(room: &Channel, name: &str) -> Result<(), Box<dyn Error>> {
    let messages = room.messages();
    let joined = room.join().await?;
    println!("here: {}", room.name());
    if let Some(missed @ 1..) = joined.missed {
        println!("missed: {missed}");
    }
    let mut answers = 0;
    let answer = async |delivery: Delivery| {
        // What the room no longer has is nothing to a bot.
        let Delivery::Message(message) = delivery else { return Ok(()) };
        // Anybody may publish anything into a room: what is no note is passed over.
        let Ok(note) = message.decode::<Note>() else { return Ok(()) };
        if note.bot || !note.text.to_lowercase().contains(&name.to_lowercase()) {
            return Ok(());
        }
        answers += 1;
        let text = format!("Hello {}! You said \"{}\", and this is answer {answers}.", note.name, note.text);
        let id = format!("{}-{}-{}", user(name), message.offset, note.id);
        say(room, &Note { id, user: user(name), name: name.to_owned(), text, bot: true }).await;
        Ok(())
    };
    messages.process(answer).await
}

/// Publishes: once accepted, the note is sent whatever happens to the connection. A full outbox has room later.
async fn say(room: &Channel, note: &Note) {
    while let Err(error) = room.publish(note).stored().await {
        eprintln!("not said: {error}");
        if !error.retryable {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn user(name: &str) -> String {
    format!("bot-{}", name.to_lowercase())
}

/// Waits for Ctrl-C, or for the signal that ends a service.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a runtime with signals");
    tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} }
}

//! A chat bot: it joins a room, answers whoever mentions it, and stays through cuts and server restarts.
//!
//! `rust-bot [url] [room] [name]`, or the variables HOMING_URL, HOMING_ROOM, HOMING_NAME. A signed token goes
//! into HOMING_TOKEN; without one a server in development mode takes the bot's word for who it is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its face")]

use homing::{Channel, Decode, Delivery, RealtimeClient, SubscribeOptions};
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

    let client = RealtimeClient::builder(url).name("rust-bot", "1").token(token).data(&who).build()?;
    client.connect()?;
    let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
    let room = client.channel_with(format!("chat:{room}"), options);
    let ended = tokio::select! {
        ended = chat(&room, &name) => ended,
        refused = client.disconnected() => Err(refused.into()),
        () = stopped() => Ok(()),
    };
    client.close(Duration::from_secs(2)).await;
    ended
}

/// Reads the room and answers. The client reconnects by itself and brings what was missed meanwhile.
async fn chat(room: &Channel, name: &str) -> Result<(), Box<dyn Error>> {
    let mut messages = room.messages();
    room.join().await?;
    println!("here: {}", room.name());
    let mut answers = 0;
    while let Some(delivery) = messages.next().await {
        let message = match delivery? {
            Delivery::Message(message) => message,
            _ => continue, // The room no longer has what was missed, which is nothing to a bot.
        };
        // Anybody may publish anything into a room: what is no note is passed over.
        let Ok(note) = message.decode::<Note>() else { continue };
        if note.bot || !note.text.to_lowercase().contains(&name.to_lowercase()) {
            continue;
        }
        answers += 1;
        let text = format!("Hello {}! You said \"{}\", and this is answer {answers}.", note.name, note.text);
        let id = format!("{}-{}-{}", user(name), message.offset, note.id);
        say(room, &Note { id, user: user(name), name: name.to_owned(), text, bot: true }).await;
    }
    Ok(())
}

/// Publishes until it is certain that the note is there, or that trying again could say it twice.
async fn say(room: &Channel, note: &Note) {
    while let Err(error) = room.publish(note).await {
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

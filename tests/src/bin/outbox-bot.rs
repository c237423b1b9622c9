//! A program to be killed: it publishes numbers with its outbox in a file, and says what it knows of each.
//!
//! `outbox-bot <url> <file> <first> <count> [late]` publishes from `first` on to `chat:flush`, prints `stored n`
//! and `acked id epoch offset`, and ends with `empty` when its outbox is. With `late` it connects once all are stored.
#![expect(clippy::print_stdout, reason = "what it prints is what the tests read")]

use homing::{FileStorage, Kept, OutboxChange, RealtimeClient};
use serde_json::json;
use std::{env, error::Error, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, file, first, count, ..] = &arguments[..] else { return Err("four arguments".into()) };
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let client = RealtimeClient::builder(url)
        .storage(FileStorage::at(file))
        .storage_name("test")
        .user("bot")
        .data(&json!({ "user": "bot" }))
        .configure(|config| {
            config.backoff_base = Duration::from_millis(20);
            config.backoff_floor = Duration::from_millis(5);
            config.request_timeout = Duration::from_millis(800);
            config.connect_timeout = Duration::from_millis(800);
            config.silence_slack = Duration::from_millis(300);
        })
        .build()?;
    let outbox = client.outbox();
    let (_, mut events) = outbox.observe().await;
    tokio::spawn(async move {
        while let Some(Ok(event)) = events.next().await {
            if let OutboxChange::Acked { position: Some(position), .. } = event.change {
                println!("acked {} {} {}", event.id, position.epoch, position.offset);
            }
        }
    });
    let late = arguments.get(4).is_some_and(|word| word == "late");
    if !late {
        client.connect()?;
    }
    let room = client.channel("chat:flush");
    let sent: Vec<_> = (first..first + count).map(|number| (number, room.publish(&number))).collect();
    for (number, publishing) in &sent {
        assert_eq!(publishing.stored().await?, Kept::Durably);
        println!("stored {number}");
    }
    client.connect()?;
    client.connected().await?;
    outbox.kept().await?;
    while !outbox.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("empty");
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

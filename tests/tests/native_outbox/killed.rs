//! A bot that is killed while it stores and while it flushes.

use homing_tests::stage::{Embedded, Folder, Redis, builder, connected, next, soon};
use std::{collections::BTreeSet, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

fn bot(url: &str, file: &Path, first: u64, count: u64, late: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-bot"));
    command.arg(url).arg(file).args([first.to_string(), count.to_string()]);
    command.args(late.then_some("late")).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Runs the bot until it has said `word` so many times, kills it, and gives everything that it said.
async fn run(mut bot: Child, word: &str, times: usize) -> Vec<String> {
    let mut lines = BufReader::new(bot.stdout.take().unwrap()).lines();
    let (mut said, mut left) = (Vec::new(), times);
    while let Some(line) = soon(lines.next_line()).await.unwrap() {
        left -= usize::from(left > 0 && line.starts_with(word));
        said.push(line);
        if left == 0 {
            // Whatever it said before it died is still in the pipe.
            let _ = bot.start_kill();
            left = usize::MAX;
        }
    }
    soon(bot.wait()).await.unwrap();
    said
}

/// Everything that was said to be stored arrives, once and in order, whenever the bot dies.
async fn story(url: String) {
    const COUNT: u64 = 150;
    let folder = Folder::new();
    let reader = connected(builder(url.clone(), "reader"));
    let room = reader.channel("chat:flush");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();

    let mut stored = BTreeSet::new();
    let mut first = 1;
    // While it stores, connected or not; while it flushes, early and late; and a last one that lives.
    let deaths = [
        ("stored", 1, true),
        ("stored", 90, false),
        ("acked", 1, true),
        ("acked", 70, true),
        ("acked", 40, false),
        ("stored", 150, true),
        ("empty", 1, true),
    ];
    for (word, times, late) in deaths {
        let count = if word == "empty" { 0 } else { COUNT };
        let said = run(bot(&url, &folder.file(), first, count, late), word, times).await;
        stored.extend(said.iter().filter_map(|line| line.strip_prefix("stored ")?.parse::<u64>().ok()));
        assert!(said.iter().filter(|line| line.starts_with(word)).count() >= times, "it died too early");
        first += count;
    }
    let mut arrived = Vec::new();
    let last = *stored.last().unwrap();
    while arrived.last().is_none_or(|number| *number < last) {
        arrived.push(next(&mut messages).await);
    }
    assert!(arrived.is_sorted_by(|one, two| one < two), "once and in order: {arrived:?}");
    let arrived: BTreeSet<u64> = arrived.into_iter().collect();
    let lost: Vec<_> = stored.difference(&arrived).collect();
    assert!(lost.is_empty(), "stored and never seen: {lost:?}");
    let head = soon(room.snapshot()).await.position.unwrap();
    assert_eq!(head.offset, arrived.len() as u64);
}

#[tokio::test]
async fn what_a_killed_bot_has_stored_arrives_once_and_in_order() {
    let server = Embedded::start().await;
    story(server.url()).await;
}

#[tokio::test]
async fn what_a_killed_bot_has_stored_arrives_once_and_in_order_through_redis() {
    let redis = Redis::start().await;
    let server = Embedded::on_redis(&redis).await;
    story(server.url()).await;
}

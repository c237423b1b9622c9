//! Reading that continues where the app has come to.

use homing::{
    Builder, Delivery, Error, ErrorCode, FileStorage, Gap, GapReason, MemoryStorage, Messages, OutboxLimits,
    Position, RealtimeClient,
};
use homing_tests::stage::{Embedded, Folder, builder, connected, expect, next, soon, store};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

fn reader(url: String, folder: &Folder) -> Builder {
    builder(url, "reader").user("reader").storage(FileStorage::at(folder.file()))
}

fn durable(client: &RealtimeClient) -> Messages {
    client.channel("chat:room").durable().messages()
}

async fn publish(client: &RealtimeClient, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        soon(client.channel("chat:room").publish(&number)).await.unwrap();
    }
}

/// Waits until the reader stands where the channel begins for it.
async fn begin(client: &RealtimeClient) {
    soon(client.channel("chat:room").durable().join()).await.unwrap();
}

#[tokio::test]
async fn a_restart_continues_behind_the_last_message_whose_handler_has_finished() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let author = connected(builder(server.url(), "author"));

    let first = connected(reader(server.url(), &folder));
    let messages = durable(&first);
    begin(&first).await;
    publish(&author, 1..=10).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ended = messages.process(async |delivery| {
        let Delivery::Message(message) = delivery else { panic!("{delivery:?}") };
        let number: u64 = homing::Decode::decode(&message)?;
        tokio::task::yield_now().await;
        if number == 7 {
            return Err(Error::new(ErrorCode::Application));
        }
        seen.lock().unwrap().push(number);
        Ok(())
    });
    assert_eq!(soon(ended).await.unwrap_err().code, ErrorCode::Application);
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5, 6]);
    first.close(Duration::from_secs(5)).await;

    publish(&author, 11..=20).await;
    let second = connected(reader(server.url(), &folder));
    let mut messages = durable(&second);
    expect(&mut messages, 7..=20).await;
    publish(&author, 21..=21).await;
    expect(&mut messages, 21..=21).await;
    // Nobody has asked for what follows, so the last one is not known to be processed.
    second.close(Duration::from_secs(5)).await;
    let third = connected(reader(server.url(), &folder));
    let joined = soon(third.channel("chat:room").durable().join()).await.unwrap();
    assert_eq!((joined.was_recovering, joined.missed), (true, Some(1)));
    expect(&mut durable(&third), 21..=21).await;
}

#[tokio::test]
async fn a_reader_that_has_seen_nothing_yet_misses_nothing_after_a_restart() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let author = connected(builder(server.url(), "author"));
    publish(&author, 1..=5).await;
    let first = connected(reader(server.url(), &folder));
    begin(&first).await;
    first.close(Duration::from_secs(5)).await;
    publish(&author, 6..=8).await;
    expect(&mut durable(&connected(reader(server.url(), &folder))), 6..=8).await;
}

#[tokio::test]
async fn only_an_ack_moves_the_place_of_a_stream_that_is_acked() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let author = connected(builder(server.url(), "author"));
    let first = connected(reader(server.url(), &folder));
    let mut messages = durable(&first).acked();
    begin(&first).await;
    publish(&author, 1..=10).await;
    let mut places: Vec<Position> = Vec::new();
    for number in 1..=10 {
        assert_eq!(next(&mut messages).await, number);
        places.push(messages.position().unwrap());
    }
    messages.ack(places[3].clone());
    first.close(Duration::from_secs(5)).await;
    expect(&mut durable(&connected(reader(server.url(), &folder))), 5..=10).await;
}

#[tokio::test]
async fn the_slowest_of_several_readers_counts() {
    let server = Embedded::start().await;
    let memory = MemoryStorage::new();
    let author = connected(builder(server.url(), "author"));
    let client = |memory: &MemoryStorage| {
        connected(builder(server.url(), "reader").user("reader").storage(memory.clone()))
    };
    let first = client(&memory);
    let (mut fast, mut slow) = (durable(&first), durable(&first));
    begin(&first).await;
    publish(&author, 1..=10).await;
    expect(&mut fast, 1..=10).await;
    expect(&mut slow, 1..=4).await;
    first.close(Duration::from_secs(5)).await;

    // The fourth was given, and nothing was asked for behind it.
    let second = client(&memory);
    let (mut fast, mut slow) = (durable(&second), durable(&second));
    expect(&mut slow, 4..=6).await;
    expect(&mut fast, 4..=10).await;
    drop(slow);
    second.close(Duration::from_secs(5)).await;
    expect(&mut durable(&client(&memory)), 10..=10).await;
}

#[tokio::test]
async fn a_stream_that_is_made_anew_goes_on_where_the_one_before_was() {
    let server = Embedded::start().await;
    let author = connected(builder(server.url(), "author"));
    // Without a storage that lasts as long as the client.
    let client = connected(builder(server.url(), "reader"));
    let room = client.channel("chat:room").durable();
    soon(room.join()).await.unwrap();
    publish(&author, 1..=6).await;
    let mut messages = room.messages();
    expect(&mut messages, 1..=4).await;
    drop(messages);
    expect(&mut room.messages(), 4..=6).await;
}

#[tokio::test]
async fn what_retention_has_dropped_is_one_gap_that_a_reload_can_close() {
    let log = store();
    let server = Embedded::over(&log, None).await;
    let folder = Folder::new();
    let limits = OutboxLimits { entries: 10_000, ..OutboxLimits::default() };
    let author = connected(builder(server.url(), "author").outbox(limits));
    let first = connected(reader(server.url(), &folder));
    let mut messages = durable(&first);
    begin(&first).await;
    publish(&author, 1..=3).await;
    expect(&mut messages, 1..=3).await;
    drop(messages);
    first.close(Duration::from_secs(5)).await;

    let kept = homing_tests::stage::settings().channel.namespaces[0].options.history_size as u64;
    let all: Vec<_> =
        (4..=kept + 10).map(|number| author.channel("chat:room").publish(&number)).collect::<Vec<_>>();
    for sending in all {
        soon(sending).await.unwrap();
    }

    let gap = |gap: &Gap| (gap.from.offset, gap.to.offset, gap.reason);
    let told = connected(reader(server.url(), &folder));
    let mut messages = durable(&told);
    let first = soon(messages.next()).await.unwrap().unwrap();
    let Delivery::Gap(missed) = &first else { panic!("{first:?}") };
    assert_eq!(gap(missed), (3, 10, GapReason::Retention));
    assert_eq!(next(&mut messages).await, 11);
    drop(messages);
    told.close(Duration::from_secs(5)).await;

    // The gap was followed by a message, so it is over; the app comes back with a reload of its own.
    let failing = Arc::new(Mutex::new(Vec::new()));
    let (client, calls) = (connected(reader(server.url(), &folder)), failing.clone());
    publish(&author, kept + 11..=kept + 30).await;
    let mut messages = durable(&client).reload(move |missed| {
        calls.lock().unwrap().push(gap(missed));
        async { Ok::<(), Error>(()) }
    });
    let number = next(&mut messages).await;
    assert!((11..=31).contains(&number), "{number}");
    let calls = failing.lock().unwrap().clone();
    assert!(calls.is_empty() || calls == [(11, number - 1, GapReason::Retention)], "{calls:?}");
}

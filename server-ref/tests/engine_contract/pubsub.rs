//! Contracts of pub/sub.

use super::map::{join, leave};
use super::*;

fn appended(hints: &[Hint]) -> Vec<u64> {
    let offset = |hint: &Hint| match hint {
        Hint::Appended(_, publication) => publication.offset,
        Hint::Joined(_) | Hint::Left(_) => u64::MAX,
    };
    hints.iter().map(offset).collect()
}

pub(crate) async fn hints_follow_the_log_in_order(setup: &impl Setup) {
    let (publisher, listener) = (setup.node().await, setup.node().await);
    let recorder = Recorder::on(&*listener);
    let channel = channel("hints");
    listener.subscribe(channel.clone()).finish().await.unwrap();
    listener.subscribe(channel.clone()).finish().await.unwrap();
    let all = append_all(&*publisher, &channel, 1..=50).await;
    let hints = recorder.hints(&channel, 50).await;
    assert_eq!(appended(&hints), (1..=50).collect::<Vec<_>>());
    let Hint::Appended(epoch, publication) = &hints[49] else { panic!("an append") };
    assert_eq!(*epoch, all[49].position.map(|position| position.epoch));
    assert_eq!((&publication.data[..], publication.time), (&b"50"[..], all[49].time));
}

pub(crate) async fn a_node_that_stopped_listening_hears_nothing(setup: &impl Setup) {
    let engine = setup.node().await;
    let recorder = Recorder::on(&*engine);
    let (left, kept) = (channel("left"), channel("kept"));
    for channel in [&left, &kept] {
        engine.subscribe(channel.clone()).finish().await.unwrap();
    }
    engine.unsubscribe(left.clone()).finish().await.unwrap();
    append_all(&*engine, &left, 1..=1).await;
    append_all(&*engine, &kept, 1..=1).await;
    recorder.hints(&kept, 1).await;
    assert_eq!(recorder.hints(&left, 0).await, []);
}

pub(crate) async fn joins_and_leaves_are_hinted_once(setup: &impl Setup) {
    let engine = setup.node().await;
    let recorder = Recorder::on(&*engine);
    let channel = channel("announced");
    engine.subscribe(channel.clone()).finish().await.unwrap();
    let silent = homing_server::engine::Join { announce: false, ..join(&channel, "silent", 60_000) };
    engine.join(silent).finish().await.unwrap();
    engine.leave(leave(&channel, "silent", None)).finish().await.unwrap();
    engine.join(join(&channel, "a", 60_000)).finish().await.unwrap();
    engine.join(join(&channel, "a", 60_000)).finish().await.unwrap();
    engine.leave(leave(&channel, "a", None)).finish().await.unwrap();
    engine.leave(leave(&channel, "a", None)).finish().await.unwrap();
    append_all(&*engine, &channel, 1..=1).await;
    let value = join(&channel, "a", 0).value;
    let hints = recorder.hints(&channel, 3).await;
    assert_eq!(hints[..2], [Hint::Joined(value.clone()), Hint::Left(value)]);
    assert_eq!(appended(&hints[2..]), [1]);
}

pub(crate) async fn announcements_reach_every_listener(setup: &impl Setup) {
    let (one, other) = (setup.node().await, setup.node().await);
    let recorders = [Recorder::on(&*one), Recorder::on(&*other)];
    let channel = channel("announce");
    one.subscribe(channel.clone()).finish().await.unwrap();
    other.subscribe(channel.clone()).finish().await.unwrap();
    let hint = Hint::Left(Bytes::from_static(br#"{"client":"c"}"#));
    one.announce(channel.clone(), hint.clone()).finish().await.unwrap();
    for recorder in recorders {
        assert_eq!(recorder.hints(&channel, 1).await, std::slice::from_ref(&hint));
    }
}

pub(crate) async fn control_reaches_every_node(setup: &impl Setup) {
    let (one, other) = (setup.node().await, setup.node().await);
    let recorders = [Recorder::on(&*one), Recorder::on(&*other)];
    let message = Bytes::from_static(b"{\"disconnect\":\"ada\"}");
    one.control(message.clone()).finish().await.unwrap();
    for recorder in recorders {
        assert_eq!(recorder.controls(1).await, std::slice::from_ref(&message));
    }
}

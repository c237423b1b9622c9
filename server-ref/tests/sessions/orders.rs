//! What the application orders: ending, subscribing, refreshing.

use crate::support::{Client, START, World, token};
use homing_server::{
    clock::Clock,
    config::Span,
    hub::{Close, Control},
    node::{Answers, Order, Whom},
    session::{Admission, Changes, Refreshed, Since},
};
use serde_json::{Value, json};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Has an order carried out on all of these nodes; the first one is asked. What it took in milliseconds.
pub(crate) fn order(worlds: &[&World], order: &Order) -> (Answers, u64) {
    let start = worlds[0].clock.now();
    let mut call = pin!(worlds[0].node.order(order));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answers) = call.as_mut().poll(&mut cx) {
            worlds.iter().for_each(|world| world.settle());
            return (answers.unwrap(), worlds[0].clock.now() - start);
        }
        worlds.iter().for_each(|world| world.settle());
        worlds[0].pass(&mut [], 10);
        assert!(worlds[0].clock.now() < start + 60_000, "an order that nobody ends");
    }
}

fn tell(world: &World, what: &Order) {
    assert!(order(&[world], what).0.unanswered.is_empty());
}

fn disconnect(whom: Whom) -> Order {
    Order::Disconnect { whom, code: 3503, reason: "force disconnect".into() }
}

fn subscribe(channel: &str, admission: Admission) -> Order {
    Order::Subscribe { whom: Whom::user("ada"), channel: channel.into(), admission: Box::new(admission) }
}

#[test]
fn the_connections_of_a_user_are_ended_on_every_node() {
    let world = World::new();
    let neighbour = world.neighbour();
    let (mut here, mut there, mut bob) = (world.user("ada"), neighbour.user("ada"), world.user("bob"));
    let (answers, _) = order(&[&world, &neighbour], &disconnect(Whom::user("ada")));
    assert_eq!((answers.answers.len(), answers.unanswered.len()), (2, 0));
    for client in [&mut here, &mut there] {
        client.turn();
        let expected = Close { code: 3503, reason: "force disconnect".into(), retry_after: 0 };
        assert_eq!(client.close(), Some(&expected));
    }
    bob.call("ping", "{}");
}

#[test]
fn an_order_reaches_those_whom_it_names_and_nobody_else() {
    let world = World::new();
    let mut all: Vec<_> = (0..4).map(|_| world.user("ada")).collect();
    all[3].connection.set_session("secret".into());
    let id = |at: usize| all[at].connection.client().to_string();
    let (first, second) = (id(0), id(1));
    let ended = |all: &mut [crate::support::Client]| -> Vec<bool> {
        all.iter_mut().for_each(crate::support::Client::turn);
        all.iter().map(|client| client.close().is_some()).collect()
    };
    // Nobody is not everybody, and a user is not taken for another one.
    tell(&world, &disconnect(Whom::default()));
    tell(&world, &disconnect(Whom { client: Some(first.clone()), ..Whom::user("bob") }));
    assert_eq!(ended(&mut all), [false; 4]);
    tell(&world, &disconnect(Whom { client: Some(first.clone()), ..Whom::default() }));
    assert_eq!(ended(&mut all), [true, false, false, false]);
    tell(&world, &disconnect(Whom { session: Some("secret".into()), ..Whom::user("ada") }));
    assert_eq!(ended(&mut all), [true, false, false, true]);
    tell(&world, &disconnect(Whom { whitelist: vec![second, first], ..Whom::user("ada") }));
    assert_eq!(ended(&mut all), [true, false, true, true]);
}

#[test]
fn a_subscription_is_ended_and_the_client_told_why() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    ada.subscribe("plain");
    let end = |channel: &str| {
        let (channel, reason) = (channel.into(), "enough".into());
        tell(&world, &Order::Unsubscribe { whom: Whom::user("ada"), channel, code: 2000, reason });
    };
    end("chat:a");
    let push = ada.pushes("unsubscribe").remove(0);
    assert_eq!(push["push"]["unsubscribe"], json!({"code": 2000, "reason": "enough"}));
    ada.subscribe("chat:a");
    end("");
    let ended: Vec<_> =
        ada.pushes("unsubscribe").iter().map(|push| push["push"]["channel"].clone()).collect();
    assert_eq!(ended, ["chat:a", "plain"]);
}

#[test]
fn a_user_is_subscribed_by_the_server() {
    let world = World::new();
    let mut ada = world.user("ada");
    tell(&world, &subscribe("closed:a", Admission::default()));
    let push = ada.pushes("subscribe").remove(0);
    assert_eq!(push["push"]["channel"], "closed:a");
    tell(&world, &subscribe("chat:a", Admission::default()));
    let push = ada.pushes("subscribe").remove(0);
    assert_eq!(push["push"]["subscribe"]["recoverable"], true);
    ada.publish("chat:a", "1");
    assert_eq!(ada.data(), [1]);
}

#[test]
fn the_server_says_what_a_subscription_is_like() {
    let world = World::changed(|config| config.client.ping_interval = Span::ZERO);
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    bob.subscribe("chat:a");
    let since = bob.publish("chat:a", "1");
    bob.publish("chat:a", "2");
    bob.publish("chat:a", "3");
    tell(
        &world,
        &subscribe(
            "chat:a",
            Admission {
                info: Some(r#"{"role":"guest"}"#.into()),
                data: Some(r#"{"topic":"cats"}"#.into()),
                expires_at: Some(START / 1000 + 60),
                since: Some(Since { epoch: since["epoch"].as_str().unwrap().into(), offset: 1 }),
                changes: Changes { presence: Some(true), ..Changes::default() },
            },
        ),
    );
    let push = ada.pushes("subscribe").remove(0)["push"]["subscribe"].clone();
    assert_eq!((&push["data"], &push["offset"]), (&json!({"topic": "cats"}), &json!(1)));
    // What was missed follows, and then what is new.
    bob.publish("chat:a", "4");
    assert_eq!(ada.data(), [2, 3, 4]);
    let present = bob.call("presence", r#"{"channel":"chat:a"}"#);
    let entry = &present["presence"]["presence"][&**ada.connection.client()];
    assert_eq!(entry["chan_info"], json!({"role": "guest"}));
    world.pass(&mut [&mut ada, &mut bob], 60_000 + 25_000);
    assert_eq!(ada.pushes("unsubscribe")[0]["push"]["unsubscribe"]["code"], 2501);
}

#[test]
fn options_of_the_namespace_are_changed_for_one_subscription() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    bob.subscribe("chat:a");
    let off = Some(false);
    let changes = Changes { presence: off, join_leave: off, force_recovery: off, ..Changes::default() };
    tell(&world, &subscribe("chat:a", Admission { changes, ..Admission::default() }));
    let push = ada.pushes("subscribe").remove(0);
    assert_eq!(push["push"]["subscribe"].get("recoverable"), None);
    let present = bob.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(present["presence_stats"]["num_clients"], 1);
    bob.publish("chat:a", "1");
    assert_eq!(ada.data(), [1]);
}

#[test]
fn connections_are_refreshed_and_expired() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    let at = |seconds: i64| Some(START / 1000 + seconds);
    let refresh = |user: &str, expired: bool, expires_at: Option<i64>| {
        let refreshed = Refreshed { expires_at, info: None };
        tell(&world, &Order::Refresh { whom: Whom::user(user), expired, refreshed });
    };
    refresh("ada", false, at(60));
    assert_eq!(ada.pushes("refresh").remove(0)["push"]["refresh"]["ttl"], 60);
    refresh("ada", false, None);
    assert_eq!(ada.pushes("refresh").remove(0)["push"]["refresh"].get("expires"), None);
    refresh("ada", false, at(-1));
    refresh("bob", true, None);
    for client in [&mut ada, &mut bob] {
        client.turn();
        assert_eq!(client.close().map(|close| close.code), Some(3005));
    }
}

#[test]
fn a_connection_is_refreshed_by_the_server() {
    let world = World::new();
    let mut ada = world.user("ada");
    let refreshed = Refreshed { expires_at: Some(START / 1000 + 60), info: None };
    ada.connection.control(Control::Refresh(refreshed.into()));
    let push = ada.pushes("refresh").remove(0);
    assert_eq!(
        (&push["push"]["refresh"]["expires"], &push["push"]["refresh"]["ttl"]),
        (&json!(true), &json!(60))
    );
}

fn rename(user: &str, info: Option<&str>) -> Order {
    let refreshed = Refreshed { expires_at: None, info: info.map(Into::into) };
    Order::Refresh { whom: Whom::user(user), expired: false, refreshed }
}

/// What is told of one client in chat:a: in the presence, and beside what it publishes.
fn told_of(client: &mut Client, reader: &mut Client) -> [Value; 2] {
    let present = reader.call("presence", r#"{"channel":"chat:a"}"#);
    reader.all();
    client.publish("chat:a", "1");
    let push = reader.pushes("pub").remove(0);
    [present["presence"]["presence"][client.id()].clone(), push["push"]["pub"]["info"].clone()]
}

#[test]
fn what_is_told_of_a_client_is_changed_on_every_node() {
    let world = World::new();
    let neighbour = world.neighbour();
    let mut bob = world.user("bob");
    bob.call("subscribe", r#"{"channel":"chat:a","join_leave":true}"#);
    let (mut here, mut there) = (world.client(), neighbour.client());
    let claims = token(r#"{"sub":"ada","info":{"n":1},"subs":{"chat:a":{"info":{"role":"host"}}}}"#);
    for client in [&mut here, &mut there] {
        client.call("connect", &format!(r#"{{"token":"{claims}"}}"#));
    }
    bob.all();
    for (info, n) in [(Some(r#"{"n":2}"#), 2), (None, 2), (Some(r#"{"n":3}"#), 3)] {
        let (answers, _) = order(&[&world, &neighbour], &rename("ada", info));
        assert_eq!((answers.answers.len(), answers.unanswered.len()), (2, 0));
        for client in [&mut here, &mut there] {
            assert_eq!(client.pushes("refresh").len(), 1);
            for told in told_of(client, &mut bob) {
                assert_eq!(
                    (&told["conn_info"], &told["chan_info"]),
                    (&json!({"n": n}), &json!({"role": "host"}))
                );
            }
        }
    }
    // Nobody has come or gone, until they do, under what they are told to be at the end.
    assert!(bob.pushes("join").is_empty() && bob.pushes("leave").is_empty());
    here.vanish();
    assert_eq!(bob.pushes("leave").remove(0)["push"]["leave"]["info"]["conn_info"], json!({"n": 3}));
    assert_eq!(there.call("presence_stats", r#"{"channel":"chat:a"}"#)["presence_stats"]["num_clients"], 2);
}

#[test]
fn a_presence_that_could_not_be_changed_at_once_is_changed_later() {
    let world = World::changed(|config| config.client.ping_interval = Span::ZERO);
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    for client in [&mut ada, &mut bob] {
        client.subscribe("chat:a");
    }
    world.engine.set_away(true);
    world.node.carry_out(&rename("ada", Some("2")));
    ada.turn();
    world.settle();
    world.engine.set_away(false);
    world.pass(&mut [&mut ada, &mut bob], 30_000);
    assert_eq!(told_of(&mut ada, &mut bob)[0]["conn_info"], 2);
    // And once it stands, it is kept alive as it stands.
    world.pass(&mut [&mut ada, &mut bob], 120_000);
    assert_eq!(told_of(&mut ada, &mut bob)[0]["conn_info"], 2);
}

#[test]
fn a_presence_that_is_being_made_is_changed_as_well() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    bob.subscribe("chat:a");
    world.engine.hold();
    let id = ada.command("subscribe", r#"{"channel":"chat:a"}"#);
    // The history is told: what is held back then is the presence.
    world.engine.release_first();
    ada.turn();
    world.node.carry_out(&rename("ada", Some("2")));
    ada.turn();
    assert_eq!(ada.reply(id), None);
    world.engine.stop_holding();
    world.settle();
    assert!(ada.reply(id).is_some());
    assert_eq!(told_of(&mut ada, &mut bob)[0]["conn_info"], 2);
}

#[test]
fn an_order_that_comes_while_the_client_connects_is_kept() {
    let world = World::new();
    world.engine.hold();
    let mut ada = world.client();
    let token = token(r#"{"sub":"ada","channels":["chat:a"]}"#);
    let id = ada.command("connect", &format!(r#"{{"token":"{token}"}}"#));
    let (channel, reason) = ("chat:a".into(), "enough".into());
    let whom = Whom::user("ada");
    world.node.carry_out(&Order::Unsubscribe { whom, channel, code: 2000, reason });
    world.node.carry_out(&subscribe("closed:b", Admission::default()));
    ada.turn();
    assert_eq!(ada.reply(id), None);
    world.engine.stop_holding();
    let all = ada.all();
    assert_eq!(all[0]["id"], id);
    assert!(all[0]["connect"]["subs"]["chat:a"].is_object());
    assert_eq!(all[1]["push"]["join"]["info"]["user"], "ada");
    assert_eq!(all[2]["push"]["unsubscribe"]["code"], 2000);
    assert_eq!(all[3]["push"]["channel"], "closed:b");
}

//! Sessions that ask hooks, on virtual time: order, refusals, deadlines, and what is repeated.

use crate::support::{Client, START, World, settings};
use homing_server::{
    Config,
    config::Span,
    hooks::{
        ConnectAsk, ConnectGrant, HookError, Hooks, PublishAsk, PublishGrant, RefreshAsk, RefreshGrant,
        RpcAsk, SubRefreshAsk, SubscribeAsk, SubscribeGrant, Verdict,
    },
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A question that waits for its answer.
struct Question {
    /// `publish chat:a 1`
    about: String,
    answer: oneshot::Sender<Verdict<String>>,
}

/// Hooks whose answers the test gives, when it likes.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Vec<Question>>>);

impl Desk {
    async fn ask(&self, about: String) -> Verdict<String> {
        let (answer, receiver) = oneshot::channel();
        self.0.lock().unwrap().push(Question { about, answer });
        receiver.await.unwrap_or(Err(HookError::Away { retry_after: 0 }))
    }

    fn open(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|question| question.about.clone()).collect()
    }

    /// Answers the first question of this text.
    fn answer(&self, about: &str, verdict: Verdict<&str>) {
        let mut questions = self.0.lock().unwrap();
        let at = questions.iter().position(|question| question.about == about);
        let at = at.unwrap_or_else(|| panic!("nobody asks {about}"));
        let _ = questions.remove(at).answer.send(verdict.map(str::to_owned));
    }
}

fn text(data: Option<&bytes::Bytes>) -> String {
    data.map(|data| String::from_utf8(data.to_vec()).unwrap()).unwrap_or_default()
}

fn moment(answer: &str) -> Option<i64> {
    (!answer.is_empty()).then(|| START / 1000 + answer.parse::<i64>().unwrap())
}

fn refreshed(answer: &str) -> RefreshGrant {
    match answer {
        "expired" => RefreshGrant { expired: true, ..RefreshGrant::default() },
        at => {
            RefreshGrant { expires_at: moment(at), info: Some("\"new\"".into()), ..RefreshGrant::default() }
        }
    }
}

impl Hooks for Desk {
    async fn connect(&self, ask: ConnectAsk) -> Verdict<ConnectGrant> {
        let answer = self.ask(format!("connect {}", text(ask.data.as_ref()))).await?;
        let (user, expires) = answer.split_once(' ').unwrap_or((&answer, ""));
        Ok(ConnectGrant {
            user: user.into(),
            expires_at: moment(expires),
            data: Some("\"welcome\"".into()),
            meta: Some("{\"plan\":1}".into()),
            ..ConnectGrant::default()
        })
    }
    async fn refresh(&self, ask: RefreshAsk) -> Verdict<RefreshGrant> {
        let meta = ask.asker.meta.as_deref().unwrap_or_default().to_owned();
        let answer = self.ask(format!("refresh {} {meta}", ask.asker.user)).await?;
        Ok(refreshed(&answer))
    }
    async fn subscribe(&self, ask: SubscribeAsk) -> Verdict<SubscribeGrant> {
        let answer = self.ask(format!("subscribe {}", ask.channel)).await?;
        let info = Some("\"old\"".into());
        Ok(SubscribeGrant { expires_at: moment(&answer), info, ..SubscribeGrant::default() })
    }
    async fn sub_refresh(&self, ask: SubRefreshAsk) -> Verdict<RefreshGrant> {
        let answer = self.ask(format!("sub_refresh {}", ask.channel)).await?;
        Ok(refreshed(&answer))
    }
    async fn publish(&self, ask: PublishAsk) -> Verdict<PublishGrant> {
        let answer = self.ask(format!("publish {} {}", ask.channel, text(Some(&ask.data)))).await?;
        Ok(match &*answer {
            "" => PublishGrant::default(),
            "skip" => PublishGrant { skip_history: true, ..PublishGrant::default() },
            data => PublishGrant { data: Some(data.to_owned().into()), ..PublishGrant::default() },
        })
    }
    async fn rpc(&self, ask: RpcAsk) -> Verdict<Option<bytes::Bytes>> {
        let answer = self.ask(format!("rpc {} {}", ask.method, text(ask.data.as_ref()))).await?;
        Ok(Some(answer.into()))
    }
}

fn asking(change: impl FnOnce(&mut Config)) -> (World, Desk) {
    let desk = Desk::default();
    let mut config = settings();
    // Clients of these tests do not answer pings.
    config.client.ping_interval = Span::ZERO;
    config.channel.namespaces.iter_mut().filter(|one| one.name == "chat").for_each(|chat| {
        chat.options.publish_proxy_enabled = true;
        chat.options.allow_publish_for_subscriber = false;
    });
    change(&mut config);
    (World::asking(config, desk.clone()), desk)
}

fn all_hooks(config: &mut Config) {
    config.client.proxy.connect.enabled = true;
    config.client.proxy.refresh.enabled = true;
    config.rpc.without_namespace.proxy_enabled = true;
    for namespace in &mut config.channel.namespaces {
        namespace.options.subscribe_proxy_enabled = true;
        namespace.options.sub_refresh_proxy_enabled = true;
    }
}

fn refused(code: u32) -> Verdict<&'static str> {
    Err(HookError::Refused { code, message: "no".into(), temporary: false })
}

fn publish(client: &mut Client, channel: &str, data: u32) -> u32 {
    client.command("publish", &format!(r#"{{"channel":"{channel}","data":{data}}}"#))
}

fn numbered(client: &mut Client, session: u32, number: u32) -> u32 {
    let stamp = format!(r#"{{"id":"m{number}","producer":"p","session":{session},"number":{number}}}"#);
    client.command("publish", &format!(r#"{{"channel":"chat:a","data":{number},"homing":{stamp}}}"#))
}

#[test]
fn publishes_keep_their_order_whatever_the_order_of_the_verdicts() {
    let (world, desk) = asking(|_| {});
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let ids: Vec<_> = (1..=4).map(|data| publish(&mut ada, "chat:a", data)).collect();
    assert_eq!(desk.open(), ["publish chat:a 1", "publish chat:a 2", "publish chat:a 3", "publish chat:a 4"]);
    desk.answer("publish chat:a 4", Ok(""));
    desk.answer("publish chat:a 2", Ok("{\"b\":2}"));
    assert!(ada.data().is_empty());
    desk.answer("publish chat:a 1", Ok(""));
    assert_eq!(ada.data(), [json!(1), json!({"b": 2})]);
    assert!(ada.reply(ids[3]).is_none());
    desk.answer("publish chat:a 3", refused(403));
    assert_eq!(ada.data(), [4]);
    assert_eq!(ada.reply(ids[2]).unwrap()["error"], json!({"code": 403, "message": "no"}));
    assert_eq!(ada.reply(ids[3]).unwrap()["publish"]["offset"], 3);
}

#[test]
fn commands_to_a_channel_wait_behind_its_publishes_and_others_overtake_them() {
    let (world, desk) = asking(|_| {});
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    ada.subscribe("chat:b");
    let first = publish(&mut ada, "chat:a", 1);
    let history = ada.command("history", r#"{"channel":"chat:a","limit":10}"#);
    let second = publish(&mut ada, "chat:a", 2);
    let third = publish(&mut ada, "chat:a", 3);
    let gone = ada.command("unsubscribe", r#"{"channel":"chat:a"}"#);
    let other = publish(&mut ada, "chat:b", 9);
    assert_eq!(ada.call("ping", "{}")["ping"], json!({}));
    desk.answer("publish chat:b 9", Ok(""));
    assert!(ada.reply(other).unwrap()["publish"].is_object());
    assert_eq!(desk.open(), ["publish chat:a 1"], "what stands behind the history waits for it");
    desk.answer("publish chat:a 1", Ok(""));
    assert!(ada.reply(first).is_some());
    let seen = ada.reply(history).unwrap();
    assert_eq!(seen["history"]["publications"].as_array().unwrap().len(), 1);
    assert_eq!(desk.open(), ["publish chat:a 2", "publish chat:a 3"]);
    desk.answer("publish chat:a 3", Ok(""));
    assert!(ada.reply(gone).is_none());
    desk.answer("publish chat:a 2", Ok(""));
    for id in [second, third, gone] {
        assert!(ada.reply(id).is_some_and(|reply| reply["error"].is_null()));
    }
}

#[test]
fn a_refusal_is_told_only_of_what_the_log_does_not_have() {
    let (world, desk) = asking(|_| {});
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    // Two arrive, and their answers are lost with the connection.
    world.engine.hold();
    for number in 1..=2 {
        numbered(&mut ada, 1, number);
        desk.answer(&format!("publish chat:a {number}"), Ok(""));
        ada.turn();
    }
    // The third is still being asked about.
    numbered(&mut ada, 1, 3);
    ada.vanish();
    world.engine.stop_holding();
    // Now ada may publish no more: all three come again.
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let ids: Vec<_> = (1..=3).map(|number| numbered(&mut ada, 2, number)).collect();
    for number in [3, 1, 2] {
        desk.0.lock().unwrap().retain(|question| !question.answer.is_closed());
        desk.answer(&format!("publish chat:a {number}"), refused(403));
        ada.turn();
    }
    let replies: Vec<Value> = ids.iter().map(|id| ada.reply(*id).unwrap()).collect();
    assert_eq!(replies[0]["publish"]["duplicate"], true);
    assert_eq!(replies[1]["publish"]["offset"], 2);
    assert_eq!(replies[2]["error"]["code"], 403);
    // The number of the refused one is free.
    let again = numbered(&mut ada, 2, 3);
    desk.answer("publish chat:a 3", Ok(""));
    assert_eq!(ada.reply(again).unwrap()["publish"]["offset"], 3);
}

#[test]
fn a_hook_that_is_away_is_a_temporary_error_and_the_message_can_come_again() {
    let (world, desk) = asking(|config| config.channel.proxy.publish.timeout = Span::seconds(1));
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let first = numbered(&mut ada, 1, 1);
    let second = numbered(&mut ada, 1, 2);
    desk.answer("publish chat:a 1", Err(HookError::Away { retry_after: 1500 }));
    desk.answer("publish chat:a 2", Ok(""));
    let error = ada.reply(first).unwrap()["error"].clone();
    assert_eq!(
        (&error["code"], &error["temporary"], &error["retry_after"]),
        (&json!(100), &json!(true), &json!(1500))
    );
    let behind = ada.reply(second).unwrap();
    assert_eq!((&behind["error"]["code"], &behind["error"]["expected"]), (&json!(302), &json!(1)));
    let again = numbered(&mut ada, 1, 1);
    desk.answer("publish chat:a 1", Ok(""));
    assert_eq!(ada.reply(again).unwrap()["publish"]["offset"], 1);
    // Nobody answers at all.
    let lost = numbered(&mut ada, 1, 2);
    world.pass(&mut [&mut ada], 4400);
    assert!(ada.reply(lost).is_none());
    world.pass(&mut [&mut ada], 200);
    let error = ada.reply(lost).unwrap()["error"].clone();
    assert_eq!((&error["code"], &error["temporary"]), (&json!(100), &json!(true)));
    assert!(error["retry_after"].as_u64().unwrap() > 0);
}

#[test]
fn a_hook_may_skip_the_history_end_the_connection_or_say_too_much() {
    let (world, desk) = asking(|config| config.client.message_size_limit = 100);
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let id = publish(&mut ada, "chat:a", 1);
    desk.answer("publish chat:a 1", Ok("skip"));
    assert!(ada.reply(id).unwrap()["publish"]["offset"].is_null());
    assert_eq!(ada.data(), [1]);
    let id = publish(&mut ada, "chat:a", 2);
    desk.answer("publish chat:a 2", Ok(&"1".repeat(101)));
    assert_eq!(ada.reply(id).unwrap()["error"]["code"], 106);
    publish(&mut ada, "chat:a", 3);
    let last = publish(&mut ada, "chat:a", 4);
    desk.answer("publish chat:a 4", Ok(""));
    desk.answer("publish chat:a 3", Err(HookError::Disconnect { code: 4500, reason: "banned".into() }));
    assert!(ada.reply(last).is_none());
    assert_eq!((ada.close_code(), &*ada.close().unwrap().reason), (Some(4500), "banned"));
}

#[test]
fn a_connection_lives_as_long_as_its_hook_says() {
    let (world, desk) = asking(all_hooks);
    let mut ada = world.client();
    let id = ada.command("connect", r#"{"data":{"pass":1}}"#);
    assert_eq!(desk.open(), [r#"connect {"pass":1}"#]);
    desk.answer(r#"connect {"pass":1}"#, Ok("ada 60"));
    let reply = ada.reply(id).unwrap();
    assert_eq!(reply["connect"]["data"], "welcome");
    assert!(reply["connect"]["expires"].is_null(), "the hook sees to it: {reply}");
    world.pass(&mut [&mut ada], 60_000);
    desk.answer(r#"refresh ada {"plan":1}"#, Ok("120"));
    world.pass(&mut [&mut ada], 60_000);
    // Away: asked again, and the client stays.
    desk.answer(r#"refresh ada {"plan":1}"#, Err(HookError::Away { retry_after: 2000 }));
    world.pass(&mut [&mut ada], 3000);
    assert_eq!(ada.close_code(), None);
    desk.answer(r#"refresh ada {"plan":1}"#, Ok("expired"));
    ada.turn();
    assert_eq!(ada.close_code(), Some(3005));
}

#[test]
fn a_connection_that_nobody_can_speak_for_ends_in_the_end() {
    let (world, desk) = asking(all_hooks);
    let mut ada = world.client();
    ada.command("connect", "{}");
    desk.answer("connect ", Ok("ada 10"));
    ada.turn();
    world.pass(&mut [&mut ada], 10_000 + 24_000);
    assert_eq!(ada.close_code(), None);
    world.pass(&mut [&mut ada], 2000);
    assert_eq!(ada.close_code(), Some(3005));
}

#[test]
fn connect_hooks_refuse_and_disconnect_and_tokens_go_before_them() {
    let (world, desk) = asking(all_hooks);
    let mut ada = world.client();
    let id = ada.command("connect", "{}");
    desk.answer("connect ", refused(1000));
    assert_eq!(ada.reply(id).unwrap()["error"], json!({"code": 1000, "message": "no"}));
    let id = ada.command("connect", "{}");
    desk.answer("connect ", Ok("ada -1"));
    assert_eq!(ada.reply(id).unwrap()["error"]["code"], 110);
    let id = ada.command("connect", "{}");
    desk.answer("connect ", Err(HookError::Unusable("{".into())));
    let error = ada.reply(id).unwrap()["error"].clone();
    assert_eq!(
        error,
        json!({"code": 100, "message": "internal server error", "temporary": true, "retry_after": 1000})
    );
    ada.command("connect", "{}");
    desk.answer("connect ", Err(HookError::Disconnect { code: 4501, reason: "closed".into() }));
    ada.turn();
    assert_eq!(ada.close_code(), Some(4501));
    world.user("bob");
    assert!(desk.open().is_empty());
}

#[test]
fn subscriptions_are_asked_about_and_asked_about_again() {
    let (world, desk) = asking(all_hooks);
    let mut ada = world.user("ada");
    let id = ada.command("subscribe", r#"{"channel":"chat:a"}"#);
    let early = ada.command("presence", r#"{"channel":"chat:a"}"#);
    let other = ada.command("subscribe", r#"{"channel":"chat:b"}"#);
    assert_eq!(desk.open(), ["subscribe chat:a", "subscribe chat:b"]);
    desk.answer("subscribe chat:b", refused(403));
    assert_eq!(ada.reply(other).unwrap()["error"]["code"], 403);
    assert!(ada.reply(early).is_none());
    desk.answer("subscribe chat:a", Ok("60"));
    assert!(ada.reply(id).unwrap()["subscribe"]["expires"].is_null());
    let presence = ada.reply(early).unwrap();
    assert_eq!(presence["presence"]["presence"][ada.id()]["chan_info"], "old");
    world.pass(&mut [&mut ada], 60_000);
    desk.answer("sub_refresh chat:a", Err(HookError::Away { retry_after: 1500 }));
    world.pass(&mut [&mut ada], 2000);
    desk.answer("sub_refresh chat:a", Ok("120"));
    ada.turn();
    publish(&mut ada, "chat:a", 1);
    desk.answer("publish chat:a 1", Ok(""));
    assert_eq!(ada.pushes("pub")[0]["push"]["pub"]["info"]["chan_info"], "new");
    world.pass(&mut [&mut ada], 60_000);
    desk.answer("sub_refresh chat:a", Ok("expired"));
    assert_eq!(ada.pushes("unsubscribe")[0]["push"]["unsubscribe"]["code"], 2501);
    // Names that rule the user out, and channels for tokens only, are not asked about.
    for channel in ["chat:x#bob", "$chat:x"] {
        assert_eq!(ada.refused("subscribe", &format!(r#"{{"channel":"{channel}"}}"#)), 103);
    }
}

#[test]
fn procedures_of_the_server_go_before_the_hook() {
    let (world, desk) = asking(all_hooks);
    let mut ada = world.user("ada");
    assert_eq!(ada.call("rpc", r#"{"method":"echo","data":1}"#)["rpc"]["data"], 1);
    let id = ada.command("rpc", r#"{"method":"sum","data":[1,2]}"#);
    desk.answer("rpc sum [1,2]", Ok("3"));
    assert_eq!(ada.reply(id).unwrap()["rpc"]["data"], 3);
    assert_eq!(ada.refused("rpc", r#"{"method":"other:sum"}"#), 104);
}

#[test]
fn only_so_many_questions_are_open_and_the_rest_wait_for_their_turn() {
    let (world, desk) = asking(|config| {
        all_hooks(config);
        config.hooks.concurrency = 2;
        config.hooks.queue_size = 3;
        config.hooks.queue_timeout = Span::seconds(3);
    });
    let mut clients: Vec<_> = (0..6).map(|_| world.client()).collect();
    let ids: Vec<_> = clients
        .iter_mut()
        .enumerate()
        .map(|(at, client)| client.command("connect", &format!(r#"{{"data":{at}}}"#)))
        .collect();
    assert_eq!(desk.open(), ["connect 0", "connect 1"]);
    let error = clients[5].reply(ids[5]).unwrap()["error"].clone();
    assert_eq!((&error["code"], &error["temporary"]), (&json!(100), &json!(true)));
    assert!(error["retry_after"].as_u64().unwrap() > 0);
    // One that goes away makes room, and so does one that had a turn in line.
    clients[2].vanish();
    clients[0].vanish();
    clients[3].turn();
    assert_eq!(desk.open()[1..], ["connect 1", "connect 3"]);
    desk.answer("connect 1", Ok("b"));
    assert!(clients[1].reply(ids[1]).is_some());
    clients[4].turn();
    desk.answer("connect 4", Ok("c"));
    assert!(clients[4].reply(ids[4]).is_some());
}

#[test]
fn a_hook_that_never_answers_is_left_alone_after_a_while() {
    let (world, desk) = asking(|config| {
        all_hooks(config);
        config.hooks.breaker_failures = 2;
        config.hooks.breaker_pause = Span::seconds(10);
    });
    let mut clients: Vec<_> = (0..2).map(|_| world.client()).collect();
    for client in &mut clients {
        client.command("connect", "{}");
    }
    let [first, second] = &mut clients[..] else { panic!() };
    world.pass(&mut [first, second], 4600);
    assert_eq!(first.all()[0]["error"]["temporary"], true);
    desk.0.lock().unwrap().clear();
    let id = first.command("connect", "{}");
    let error = first.reply(id).unwrap()["error"].clone();
    assert!(desk.open().is_empty());
    assert!((9000..=10_100).contains(&error["retry_after"].as_u64().unwrap()), "{error}");
    world.clock_forward(10_000);
    // One tries, the others are told to wait for it.
    let mut third = world.client();
    let probe = third.command("connect", "{}");
    let mut fourth = world.client();
    let id = fourth.command("connect", "{}");
    assert_eq!(fourth.reply(id).unwrap()["error"]["temporary"], true);
    desk.answer("connect ", Ok("ada"));
    assert!(third.reply(probe).unwrap()["connect"].is_object());
    let id = fourth.command("connect", "{}");
    desk.answer("connect ", Ok("bob"));
    assert!(fourth.reply(id).unwrap()["connect"].is_object());
}

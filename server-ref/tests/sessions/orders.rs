//! What the application orders: ending, subscribing, refreshing.

use crate::support::World;
use homing_server::{
    hub::{Close, Control},
    node::UserCommand,
};
use serde_json::json;

fn order(world: &World, command: &UserCommand) {
    let mut call = std::pin::pin!(world.node.command(command).finish());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(call.as_mut(), &mut cx).is_ready());
    world.settle();
}

#[test]
fn the_connections_of_a_user_are_ended_on_every_node() {
    let world = World::new();
    let neighbour = world.neighbour();
    let (mut here, mut there, mut bob) = (world.user("ada"), neighbour.user("ada"), world.user("bob"));
    let (user, reason) = ("ada".into(), "force disconnect".into());
    order(&world, &UserCommand::Disconnect { user, code: 3503, reason });
    for client in [&mut here, &mut there] {
        client.turn();
        let expected = Close { code: 3503, reason: "force disconnect".into(), retry_after: 0 };
        assert_eq!(client.close(), Some(&expected));
    }
    bob.call("ping", "{}");
}

#[test]
fn a_subscription_is_ended_and_the_client_told_why() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let (user, channel, reason) = ("ada".into(), "chat:a".into(), "enough".into());
    order(&world, &UserCommand::Unsubscribe { user, channel, code: 2000, reason });
    let push = ada.pushes("unsubscribe").remove(0);
    assert_eq!(push["push"]["unsubscribe"], json!({"code": 2000, "reason": "enough"}));
    ada.subscribe("chat:a");
}

#[test]
fn a_user_is_subscribed_by_the_server() {
    let world = World::new();
    let mut ada = world.user("ada");
    order(&world, &UserCommand::Subscribe { user: "ada".into(), channel: "closed:a".into() });
    let push = ada.pushes("subscribe").remove(0);
    assert_eq!(push["push"]["channel"], "closed:a");
    order(&world, &UserCommand::Subscribe { user: "ada".into(), channel: "chat:a".into() });
    let push = ada.pushes("subscribe").remove(0);
    assert_eq!(push["push"]["subscribe"]["recoverable"], true);
    ada.publish("chat:a", "1");
    assert_eq!(ada.data(), [1]);
}

#[test]
fn a_connection_is_refreshed_by_the_server() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.connection.control(Control::Refresh { expires_at: Some(crate::support::START / 1000 + 60) });
    let push = ada.pushes("refresh").remove(0);
    assert_eq!(
        (&push["push"]["refresh"]["expires"], &push["push"]["refresh"]["ttl"]),
        (&json!(true), &json!(60))
    );
}

#[test]
fn an_order_that_comes_while_the_client_connects_is_kept() {
    let world = World::new();
    world.engine.hold();
    let mut ada = world.client();
    let token = crate::support::token(r#"{"sub":"ada","channels":["chat:a"]}"#);
    let id = ada.command("connect", &format!(r#"{{"token":"{token}"}}"#));
    world.node.unsubscribe_user("ada", "chat:a", 2000, "enough");
    world.node.subscribe_user("ada", "closed:b");
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

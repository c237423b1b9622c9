//! A program that embeds the server and answers the hooks itself.

use crate::socket::{Running, Socket};
use homing_server::{
    Server, config,
    hooks::{ConnectAsk, ConnectGrant, HookError, Hooks, PublishAsk, PublishGrant, Verdict},
    serve,
};
use tokio::net::TcpListener;

struct Bouncer;

impl Hooks for Bouncer {
    async fn connect(&self, ask: ConnectAsk) -> Verdict<ConnectGrant> {
        let user = ask.name;
        Ok(ConnectGrant { user, info: Some("1".into()), ..ConnectGrant::default() })
    }

    async fn publish(&self, ask: PublishAsk) -> Verdict<PublishGrant> {
        tokio::task::yield_now().await;
        if ask.data == "\"rude\"" {
            let message = "no rude words".to_owned();
            return Err(HookError::Refused { code: 400, message, temporary: false });
        }
        Ok(PublishGrant::default())
    }
}

#[tokio::test]
async fn a_program_answers_its_hooks_itself() {
    let mut config = config::development();
    config.client.proxy.connect.enabled = true;
    config.channel.namespaces[0].options.publish_proxy_enabled = true;
    config.rpc.without_namespace.proxy_enabled = true;
    let server = Server::builder().config(config).hooks(Bouncer).build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve::listen(listener, server.router()));
    let running = Running { address, handle: server.handle(), server };
    let mut ada = Socket::open(&running).await;
    let reply = ada.call("connect", r#"{"name":"ada"}"#).await;
    assert_eq!(reply["connect"]["homing"]["user"], "ada");
    ada.call("subscribe", r#"{"channel":"chat:one"}"#).await;
    let reply = ada.call("publish", r#"{"channel":"chat:one","data":"rude"}"#).await;
    assert_eq!((&reply["error"]["code"], &reply["error"]["message"]), (&400.into(), &"no rude words".into()));
    assert!(ada.call("publish", r#"{"channel":"chat:one","data":"nice"}"#).await["publish"].is_object());
    // What is switched on and not implemented is not available.
    assert_eq!(ada.call("rpc", r#"{"method":"x"}"#).await["error"]["code"], 108);
}

#[tokio::test]
async fn a_hook_without_an_address_keeps_the_server_from_starting() {
    let mut config = config::development();
    config.client.proxy.connect.enabled = true;
    let error = Server::builder().config(config).build().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "client.proxy.connect.endpoint: the hook is switched on and has no endpoint"
    );
}

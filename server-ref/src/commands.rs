//! What the program does: serve, check settings, make tokens.

use crate::cli::{Command, File, Flags, Serve, Token};
use homing_server::{
    Config, Server,
    auth::{Minted, mint},
    clock::SystemClock,
    config::{self, ConfigError},
    hooks::http::HttpHooks,
    serve::{self, BuildError},
};
use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("cannot listen on {address}: {error}; choose another with {setting}")]
    Listen { address: String, setting: &'static str, error: std::io::Error },
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error(
        "{0}.hmac_secret_key: not set, so there is nothing to sign a token with; --config names the file that has it"
    )]
    NoSecret(&'static str),
    #[error("--info: {0}")]
    Info(serde_json::Error),
    #[error("the token cannot be signed: {0}")]
    Sign(String),
}

#[expect(clippy::print_stderr, reason = "why the program does not start belongs there")]
pub(crate) fn run(flags: Flags) -> ExitCode {
    let done = match flags.command {
        None => serve(flags.serve),
        Some(Command::CheckConfig(file)) => check(&file),
        Some(Command::Token(token)) => make_token(token),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("homing-server: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn load(file: &File) -> Result<Config, ConfigError> {
    // The file itself is named by a variable too, which is no setting.
    let environment = std::env::vars().filter(|(name, _)| name != "HOMING_CONFIG");
    config::load(file.config.as_deref(), environment)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer is its output")]
fn check(file: &File) -> Result<(), Failure> {
    let config = load(file)?;
    HttpHooks::new(&config, Arc::new(SystemClock::new()))?;
    for warning in warnings(&config) {
        eprintln!("warning: {warning}");
    }
    println!("the settings are fine");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the token is its output")]
fn make_token(token: Token) -> Result<(), Failure> {
    let config = load(&token.file)?;
    let client = &config.client;
    let separate = token.channel.is_some() && client.subscription_token.enabled;
    let (section, keys) = if separate {
        ("client.subscription_token", &client.subscription_token.token)
    } else {
        ("client.token", &client.token)
    };
    let secret = keys.hmac_secret_key.as_deref().filter(|secret| !secret.is_empty());
    let secret = secret.ok_or(Failure::NoSecret(section))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let info = token.info.map(|info| serde_json::from_str(&info)).transpose().map_err(Failure::Info)?;
    let claims = Minted {
        sub: token.user,
        exp: (token.ttl > 0).then(|| now.saturating_add(token.ttl)),
        iat: now,
        channel: token.channel,
        channels: token.channels,
        info,
        aud: keys.audience.clone(),
        iss: keys.issuer.clone(),
    };
    println!("{}", mint(&claims, secret).map_err(Failure::Sign)?);
    Ok(())
}

fn serve(flags: Serve) -> Result<(), Failure> {
    let mut config = load(&flags.file)?;
    flags.apply(&mut config)?;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run_server(config))
}

/// Lines go to standard error, so that standard output holds nothing but the address.
fn start_log(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log.level)
        .map_err(|error| ConfigError::Invalid { key: "log.level".into(), reason: error.to_string() })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.log.json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "who starts it with port 0 reads the address there")]
async fn run_server(config: Config) -> Result<(), Failure> {
    for warning in warnings(&config) {
        tracing::warn!("{warning}");
    }
    let address = format!("{}:{}", config.http_server.address, config.http_server.port);
    let at = (&*config.http_server.address, config.http_server.port);
    let setting = "--listen or http_server.port";
    let listener =
        TcpListener::bind(at).await.map_err(|error| Failure::Listen { address, setting, error })?;
    let engine = config.engine.kind;
    let internal = if config.http_server.has_internal() { Some(listen_inside(&config).await?) } else { None };
    let server = Server::builder().config(config).build().await?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    if let (Some(listener), Some(router)) = (internal, server.internal_router()) {
        println!("listening inside on {}", listener.local_addr()?);
        tokio::spawn(serve::listen(listener, router));
    }
    tracing::info!(%address, ?engine, version = env!("CARGO_PKG_VERSION"), "listening");

    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let handle = server.handle();
    let stop = async {
        either(&mut terminated, &mut interrupted).await;
        // Health and readiness are answered until the last connection is gone. A second signal ends it now.
        tokio::select! { () = handle.drain() => {}, () = either(&mut terminated, &mut interrupted) => {} }
    };
    serve::listen_until(listener, server.router(), stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// Binds what is not for clients.
async fn listen_inside(config: &Config) -> Result<TcpListener, Failure> {
    let server = &config.http_server;
    let at = (
        server.internal_address.as_deref().unwrap_or(&server.address),
        server.internal_port.unwrap_or(server.port),
    );
    let address = format!("{}:{}", at.0, at.1);
    let setting = "http_server.internal_address and internal_port";
    TcpListener::bind(at).await.map_err(|error| Failure::Listen { address, setting, error })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! { _ = one.recv() => {}, _ = other.recv() => {} }
}

/// What is allowed, and hardly meant.
fn warnings(config: &Config) -> Vec<&'static str> {
    let client = &config.client;
    let mut warnings = Vec::new();
    if config.http_api.insecure && config.http_api.is_on() {
        warnings
            .push("INSECURE API: everybody who can reach it may publish and disconnect; set http_api.key");
    }
    let keyless = [
        &client.token.hmac_secret_key,
        &client.token.rsa_public_key,
        &client.token.ecdsa_public_key,
        &client.token.ed25519_public_key,
        &client.token.jwks_public_endpoint,
    ]
    .iter()
    .all(|key| key.as_deref().is_none_or(str::is_empty));
    if client.insecure {
        warnings.push(
            "INSECURE MODE: everybody may do everything without a token; never run this where others can reach it",
        );
    } else if keyless && !client.allow_anonymous_connect_without_token && !client.proxy.connect.enabled {
        warnings.push(
            "nobody can connect: set client.token.hmac_secret_key or another key, or start with --insecure for \
             development",
        );
    }
    warnings
}

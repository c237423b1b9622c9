//! The flags of the program. A flag wins over the environment, which wins over the file.

use clap::{Args, Parser, Subcommand, ValueEnum};
use homing_server::Config;
use homing_server::config::{ConfigError, EngineKind};

/// Homing's server: realtime channels over WebSocket.
#[derive(Debug, Parser)]
#[command(name = "homing-server", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the settings and say which key is wrong.
    CheckConfig(File),
    /// Make a token, for development.
    Token(Token),
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// Settings, TOML or JSON; without: settings for development.
    #[arg(long, short, env = "HOMING_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) file: File,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where channels are kept.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Redis, as redis://host:port.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Development: everything is allowed, without a token.
    #[arg(long)]
    insecure: bool,
    /// Folder of files to serve beside the endpoints.
    #[arg(long, value_name = "FOLDER")]
    static_dir: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    Memory,
    Redis,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) file: File,
    /// Id of the user.
    #[arg(long)]
    pub(crate) user: String,
    /// Seconds that it is valid; 0: for ever.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) ttl: i64,
    /// Makes a subscription token for this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Channels that the server subscribes the connection to.
    #[arg(long, value_delimiter = ',')]
    pub(crate) channels: Vec<String>,
    /// JSON shown in presence and beside publications.
    #[arg(long, value_name = "JSON")]
    pub(crate) info: Option<String>,
}

impl Serve {
    /// Puts the flags over the settings.
    pub(crate) fn apply(self, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(listen) = self.listen {
            let wrong = |reason: &str| ConfigError::Invalid { key: "--listen".into(), reason: reason.into() };
            let (address, port) = listen
                .rsplit_once(':')
                .ok_or_else(|| wrong("expected ADDRESS:PORT, such as 127.0.0.1:8000"))?;
            config.http_server.port = port.parse().map_err(|_| wrong("the port is no number up to 65535"))?;
            config.http_server.address = address.trim_matches(['[', ']']).to_owned();
        }
        if let Some(engine) = self.engine {
            config.engine.kind = match engine {
                Engine::Memory => EngineKind::Memory,
                Engine::Redis => EngineKind::Redis,
            };
        }
        if let Some(url) = self.redis_url {
            config.engine.redis.address = url;
        }
        if self.static_dir.is_some() {
            config.http_server.static_dir = self.static_dir;
        }
        config.client.insecure |= self.insecure;
        homing_server::config::check(config)
    }
}

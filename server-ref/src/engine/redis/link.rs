//! The connection that carries the engine's commands, and its supervisor.
//!
//! A connection is used only after its Redis has told which generation of data it holds; nothing reconnects
//! behind that. On the first doubt (an error of the socket, an answer overdue, a Redis that became a replica)
//! the connection is given up: calls fail fast until the supervisor has made another one.

use super::{Ack, RedisConfig, RedisStartError, keys, keys::Keys, script::Script};
use parking_lot::RwLock;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, Value,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::timeout};

/// Messages that may wait at the socket's task, more than the lanes have flights.
const PIPELINE: usize = 256;

/// Characters of the run id and of the replication id that make a generation: 40 bits each.
const ID: usize = 10;

/// A connection in use, of one generation.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Names the data that this Redis holds, as far as it can be known: process and replication history.
    pub(super) generation: Box<str>,
    pub(super) hashes: Vec<String>,
    /// Where acks are waited for, if they promise more than the append.
    pub(super) acks: Option<MultiplexedConnection>,
    client_id: i64,
    lost: Arc<Notify>,
}

/// Why no connection came to be.
#[derive(Debug)]
pub(super) enum NoLink {
    /// Redis cannot be reached, or not be used at present.
    Away(String),
    /// This Redis must not be used.
    Refused(RedisStartError),
}

impl From<redis::RedisError> for NoLink {
    fn from(error: redis::RedisError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<NoLink> for RedisStartError {
    fn from(no_link: NoLink) -> Self {
        match no_link {
            NoLink::Away(reason) => Self::Away { reason },
            NoLink::Refused(error) => error,
        }
    }
}

/// Where to connect to; the address was checked.
pub(super) fn client(config: &RedisConfig) -> Result<Client, RedisStartError> {
    let address = |error: redis::RedisError| RedisStartError::Address { reason: error.to_string() };
    let info = config.url.as_str().into_connection_info().map_err(address)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info).map_err(address)
}

/// Opens a connection that tells `lost` when it ends and `on_push` what Redis says by itself.
pub(super) async fn open(
    client: &Client,
    lost: Arc<Notify>,
    on_push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, redis::RedisError> {
    let push = move |info: PushInfo| {
        if info.kind == PushKind::Disconnection {
            lost.notify_one();
        } else {
            on_push(info);
        }
        Ok::<(), ()>(())
    };
    // Deadlines are set around the calls, where the outcome can be judged.
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE)
        .set_push_sender(push);
    client.get_multiplexed_async_connection_with_config(&settings).await
}

/// The link of an engine: the present connection, if there is one.
pub(super) struct Link {
    client: Client,
    deadline: Duration,
    ack: Ack,
    layout: (String, String),
    current: RwLock<Option<Arc<Live>>>,
}

impl Link {
    pub(super) fn new(client: Client, config: &RedisConfig, keys: &Keys) -> Self {
        let layout = (keys.layout(), format!("{} {}", keys::LAYOUT, config.partitions));
        Self { client, deadline: config.deadline, ack: config.ack, layout, current: RwLock::new(None) }
    }

    pub(super) fn current(&self) -> Option<Arc<Live>> {
        self.current.read().clone()
    }

    pub(super) fn is_live(&self) -> bool {
        self.current.read().is_some()
    }

    pub(super) fn set(&self, live: &Arc<Live>) {
        *self.current.write() = Some(Arc::clone(live));
    }

    /// Gives a connection up; what is under way on it has an unknown end.
    pub(super) fn give_up(&self, live: &Arc<Live>) {
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|other| Arc::ptr_eq(other, live)) {
            *current = None;
        }
        drop(current);
        live.lost.notify_one();
    }

    /// Makes a connection and learns all that must be known before it is used. What an earlier one has left in
    /// its socket cannot take effect any more once this has returned.
    pub(super) async fn connect(&self, before: Option<&Live>) -> Result<Arc<Live>, NoLink> {
        match timeout(self.deadline, self.establish(before)).await {
            Ok(result) => result,
            Err(_) => Err(NoLink::Away(format!("no answer within {} ms", self.deadline.as_millis()))),
        }
    }

    async fn establish(&self, before: Option<&Live>) -> Result<Arc<Live>, NoLink> {
        let lost = Arc::new(Notify::new());
        let mut connection = open(&self.client, Arc::clone(&lost), |_| {}).await?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let generation = judge(&info, self.ack)?;
        let acks = match self.ack {
            Ack::Appended => None,
            Ack::Replicated { .. } | Ack::Fsynced { .. } => {
                let mut acks = open(&self.client, Arc::clone(&lost), |_| {}).await?;
                let info: String = redis::cmd("INFO").query_async(&mut acks).await?;
                if judge(&info, self.ack)? != generation {
                    return Err(NoLink::Away("two connections reach two servers".to_owned()));
                }
                Some(acks)
            }
        };
        let client_id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
        if let Some(before) = before.filter(|before| before.generation == generation) {
            // Not allowed everywhere, and needless if the old socket is gone.
            let _: redis::RedisResult<Value> = redis::cmd("CLIENT")
                .arg(&["KILL", "ID", &before.client_id.to_string()])
                .query_async(&mut connection)
                .await;
        }
        let (key, wanted) = &self.layout;
        let found: Option<String> =
            redis::cmd("SET").arg(&[key, wanted, "NX", "GET"]).query_async(&mut connection).await?;
        if let Some(found) = found.filter(|found| found != wanted) {
            return Err(NoLink::Refused(RedisStartError::Layout { found, wanted: wanted.clone() }));
        }
        let hashes = load(&mut connection).await?;
        Ok(Arc::new(Live { connection, generation, hashes, acks, client_id, lost }))
    }
}

impl Live {
    /// Waits until the connection is lost, or was given up, or does not answer any more.
    pub(super) async fn watch(&self, beat: Duration, deadline: Duration) {
        let mut connection = self.connection.clone();
        loop {
            tokio::select! {
                () = self.lost.notified() => return,
                () = tokio::time::sleep(beat) => {}
            }
            let ping = redis::cmd("PING");
            match timeout(deadline, connection.send_packed_command(&ping)).await {
                Ok(Ok(Value::ServerError(_)) | Err(_)) | Err(_) => return,
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// Loads all scripts; answers their hashes in the scripts' order.
pub(super) async fn load(connection: &mut MultiplexedConnection) -> redis::RedisResult<Vec<String>> {
    let mut loads = redis::Pipeline::new();
    for script in Script::ALL {
        loads.cmd("SCRIPT").arg("LOAD").arg(script.source());
    }
    loads.query_async(connection).await
}

/// Whether a Redis that tells this still has the replication history that is part of the generation.
pub(super) fn has_history(generation: &str, info: &Value) -> bool {
    let text = match info {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Value::VerbatimString { text, .. } => text,
        _ => return false,
    };
    let id = text.lines().find_map(|line| line.strip_prefix("master_replid:"));
    id.is_some_and(|id| id.get(..ID) == generation.get(ID..))
}

/// Judges what a Redis says of itself; answers the generation of its data.
fn judge(info: &str, ack: Ack) -> Result<Box<str>, NoLink> {
    let facts: HashMap<&str, &str> =
        info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let fact = |name: &str| facts.get(name).copied().unwrap_or("");
    let version = fact("redis_version");
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let numbers = numbers.next().map(|major| (major, numbers.next().unwrap_or(0)));
    if numbers.is_some_and(|(major, _)| major < 7) {
        return Err(NoLink::Refused(RedisStartError::Version { found: version.to_owned() }));
    }
    if matches!(ack, Ack::Fsynced { .. }) {
        let missing = |reason: String| Err(NoLink::Refused(RedisStartError::Fsync { reason }));
        if numbers.is_some_and(|numbers| numbers < (7, 2)) {
            return missing(format!("Redis {version} has no WAITAOF, version 7.2 or later does"));
        }
        if fact("aof_enabled") != "1" {
            return missing("Redis writes no append-only file, set appendonly to yes".to_owned());
        }
    }
    if fact("cluster_enabled") == "1" {
        return Err(NoLink::Refused(RedisStartError::Cluster));
    }
    let policy = fact("maxmemory_policy");
    if policy != "noeviction" {
        return Err(NoLink::Refused(RedisStartError::Eviction { policy: policy.to_owned() }));
    }
    if fact("loading") == "1" {
        return Err(NoLink::Away("it is still loading its data".to_owned()));
    }
    if fact("role") != "master" {
        return Err(NoLink::Away(format!("its role is {}", fact("role"))));
    }
    match (fact("run_id").get(..ID), fact("master_replid").get(..ID)) {
        (Some(run), Some(replication)) => Ok(format!("{run}{replication}").into()),
        _ => Err(NoLink::Away("it does not tell its run id and replication id".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789abcdef\r\nmaxmemory_policy:noeviction\r\n\
                        loading:0\r\nrole:master\r\nmaster_replid:fedcba9876543210\r\ncluster_enabled:0\r\n";

    fn judge(info: &str) -> Result<Box<str>, NoLink> {
        super::judge(info, Ack::Appended)
    }

    #[test]
    fn a_promise_of_the_disk_needs_a_redis_that_can_keep_it() {
        let judge = |info: &str| super::judge(info, Ack::Fsynced { replicas: 0 });
        let newer = INFO.replace("7.0.15", "7.2.0");
        let refused = |info: &str| match judge(info) {
            Err(NoLink::Refused(RedisStartError::Fsync { reason })) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused(INFO).contains("7.0.15 has no WAITAOF"));
        assert!(refused(&newer).contains("appendonly"));
        assert!(judge(&newer.replace("loading:0", "loading:0\r\naof_enabled:1")).is_ok());
    }

    #[test]
    fn a_generation_names_process_and_history() {
        assert_eq!(&*judge(INFO).unwrap(), "0123456789fedcba9876");
    }

    #[test]
    fn a_redis_that_must_not_be_used_is_refused() {
        let refused = |from: &str, to: &str| match judge(&INFO.replace(from, to)) {
            Err(NoLink::Refused(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused("7.0.15", "6.2.1"), RedisStartError::Version { .. }));
        assert!(matches!(refused("noeviction", "allkeys-lru"), RedisStartError::Eviction { .. }));
        assert!(matches!(refused("cluster_enabled:0", "cluster_enabled:1"), RedisStartError::Cluster));
    }

    #[test]
    fn a_redis_that_cannot_be_used_yet_is_away() {
        for (from, to) in [("loading:0", "loading:1"), ("role:master", "role:slave"), ("run_id", "x")] {
            assert!(matches!(judge(&INFO.replace(from, to)), Err(NoLink::Away(_))), "{to}");
        }
    }
}

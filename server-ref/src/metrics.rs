//! The server's counters. No room and no user is ever a label.

use crate::{api::Method, hooks::Hook};
use metrics::{Counter, Gauge, Histogram, Recorder, counter, gauge, histogram};

/// Upper bounds of the buckets of durations, in seconds.
pub const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Of the application's calls, by method; those within a batch count too.
#[derive(Debug)]
pub struct ApiMetrics {
    calls: [Counter; Method::ALL.len()],
    errors: [Counter; Method::ALL.len()],
    seconds: [Histogram; Method::ALL.len()],
    /// Requests without the right key.
    pub unauthorized: Counter,
}

impl ApiMetrics {
    fn new() -> Self {
        Self {
            calls: Method::ALL.map(|method| counter!("homing_api_calls_total", "method" => method.name())),
            errors: Method::ALL.map(|method| counter!("homing_api_errors_total", "method" => method.name())),
            seconds: Method::ALL.map(|method| histogram!("homing_api_seconds", "method" => method.name())),
            unauthorized: counter!("homing_api_unauthorized_total"),
        }
    }

    /// Counts a call.
    pub(crate) fn count(&self, method: Method, has_succeeded: bool) {
        self.calls[method as usize].increment(1);
        self.errors[method as usize].increment(u64::from(!has_succeeded));
    }

    /// Notes how long a request took.
    pub(crate) fn took(&self, method: Method, seconds: f64) {
        self.seconds[method as usize].record(seconds);
    }
}

/// Handles of the counters, made once.
#[derive(Debug)]
pub struct Metrics {
    /// Connections at present.
    pub connections: Gauge,
    /// Rooms at present: channels with subscribers on this node.
    pub rooms: Gauge,
    /// Connections that were opened.
    pub opened: Counter,
    /// Connections that were refused before or at the connect command.
    pub refused: Counter,
    /// Connections that were cut because they read too slowly.
    pub slow: Counter,
    /// Commands that arrived.
    pub commands: Counter,
    /// Commands that were answered with an error.
    pub errors: Counter,
    /// Publications that were accepted here.
    pub publications: Counter,
    /// Publications that came again and were known.
    pub duplicates: Counter,
    /// Frames that were written to clients.
    pub frames: Counter,
    /// Subscriptions that recovered everything.
    pub recovered: Counter,
    /// Subscriptions that could not recover.
    pub unrecovered: Counter,
    /// Reads of the log because a hint was missing or doubtful.
    pub room_reads: Counter,
    /// Times that the engine may have said what this node did not hear, and every room was read on.
    pub engine_doubts: Counter,
    /// Calls of the engine that failed or missed their deadline.
    pub engine_failures: Counter,
    /// Calls of hooks.
    pub hooks: HookMeters,
    /// Calls of the application over HTTP.
    pub api: ApiMetrics,
}

/// What is counted of one hook.
#[derive(Clone, Debug)]
pub struct HookMeter {
    /// Calls under way.
    pub under_way: Gauge,
    /// Calls that wait for their turn.
    pub waiting: Gauge,
    /// Addresses that are left alone because they fail.
    pub open: Gauge,
    /// How long calls took.
    pub seconds: Histogram,
    /// Calls that were granted.
    pub granted: Counter,
    /// Calls that were refused, or ended the connection.
    pub refused: Counter,
    /// Calls without an answer that can be used.
    pub failed: Counter,
    /// Calls that were not made: too many wait, or the hook is left alone.
    pub shed: Counter,
}

/// What is counted of each hook.
#[derive(Debug)]
pub struct HookMeters([HookMeter; 6]);

impl HookMeters {
    fn new() -> Self {
        Self(Hook::ALL.map(|hook| {
            let calls =
                |outcome| counter!("homing_hook_calls_total", "hook" => hook.name(), "outcome" => outcome);
            HookMeter {
                under_way: gauge!("homing_hook_calls", "hook" => hook.name()),
                waiting: gauge!("homing_hook_calls_waiting", "hook" => hook.name()),
                open: gauge!("homing_hook_breakers_open", "hook" => hook.name()),
                seconds: histogram!("homing_hook_seconds", "hook" => hook.name()),
                granted: calls("granted"),
                refused: calls("refused"),
                failed: calls("failed"),
                shed: calls("shed"),
            }
        }))
    }

    pub(crate) fn of(&self, hook: Hook) -> &HookMeter {
        &self.0[hook as usize]
    }
}

impl Metrics {
    /// Counters that `recorder` collects.
    pub fn new(recorder: &impl Recorder) -> Self {
        metrics::with_local_recorder(recorder, || Self {
            connections: gauge!("homing_connections"),
            rooms: gauge!("homing_rooms"),
            opened: counter!("homing_connections_opened_total"),
            refused: counter!("homing_connections_refused_total"),
            slow: counter!("homing_connections_slow_total"),
            commands: counter!("homing_commands_total"),
            errors: counter!("homing_command_errors_total"),
            publications: counter!("homing_publications_total"),
            duplicates: counter!("homing_publications_duplicate_total"),
            frames: counter!("homing_frames_written_total"),
            recovered: counter!("homing_subscriptions_recovered_total"),
            unrecovered: counter!("homing_subscriptions_unrecovered_total"),
            room_reads: counter!("homing_room_reads_total"),
            engine_doubts: counter!("homing_engine_doubts_total"),
            engine_failures: counter!("homing_engine_failures_total"),
            hooks: HookMeters::new(),
            api: ApiMetrics::new(),
        })
    }

    /// Counters that nobody reads.
    #[must_use]
    pub fn unread() -> Self {
        Self::new(&metrics::NoopRecorder)
    }
}

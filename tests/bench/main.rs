//! `make bench`: the same loads on a bare floor, on Homing's server and on a plain Centrifuge server, in
//! memory and on Redis, printed as one table with each figure's ratio to the floor and to the peer of the
//! same run. This process is the load generator; every server runs in a process of its own.
#![expect(clippy::print_stdout, reason = "the table is its output")]
#![expect(clippy::print_stderr, reason = "progress, and what could not be measured, belong beside the table")]

mod api;
mod hooks;
mod outbox;
mod payload;
mod scenario;
mod server;
mod socket;
mod streamed;
mod table;

use std::time::{Duration, Instant};

use api::Load;
use scenario::Rooms;
use server::{Kind, Programs, Server};
use streamed::Way;
use table::{Table, Unit};

const ONE_ROOM: Rooms = Rooms { rooms: 1, members: 500, rate: 100 };
const MANY_ROOMS: Rooms = Rooms { rooms: 200, members: 10, rate: 5000 };

/// What Homing's server is held to; a figure that misses is a task, not a failure.
const AIMS: &str = "8 KiB per idle connection; delivery 1.25f; acked publish in memory 2f; \
                    on Redis 0.6g per delivery and per acked publish";

/// Loads that fill an outbox of the default limits: by count, and by count and bytes at once.
const FULL: [(usize, usize); 2] = [(1024, 150), (1024, 8 * 1024)];

struct Size {
    connections: usize,
    publishers: usize,
    window: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut programs = Programs::default();
    let mut size = Size { connections: 10_000, publishers: 50, window: Duration::from_secs(6) };
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("every argument takes a value")?;
        match argument.as_str() {
            "--floor" => programs.floor = Some(value.into()),
            "--homing" => programs.homing = Some(value.into()),
            "--homing-config" => programs.homing_config = Some(value.into()),
            "--go" => programs.go = Some(value.into()),
            "--connections" => size.connections = value.parse()?,
            "--outbox-config" => programs.outbox_config = Some(value.into()),
            "--only" => only = Some(value),
            "--weigh" => return weigh(&value).await,
            "--seconds" => size.window = Duration::from_secs(value.parse()?),
            other => return Err(format!("no such argument: {other}").into()),
        }
    }
    let mut table = Table::default();
    let mut failed = false;
    let start = Instant::now();
    let servers = only.as_deref() != Some("outbox");
    for kind in Kind::ALL.into_iter().filter(|_| servers) {
        eprintln!("[{:>3} s] {}", start.elapsed().as_secs(), kind.title());
        if let Err(error) = measure(kind, &programs, &size, &mut table).await {
            eprintln!("{}: {error}", kind.title());
            failed = true;
        }
    }
    if servers {
        if let Err(error) = measure_hook(&programs, size.connections, &mut table).await {
            eprintln!("connect hook: {error}");
            failed = true;
        }
        println!("{table}");
        println!("aims: {AIMS}");
    }
    let outbox = Programs { homing_config: programs.outbox_config.clone(), ..programs };
    for kind in [Kind::Homing, Kind::HomingRedis].into_iter().filter(|_| outbox.homing_config.is_some()) {
        eprintln!("[{:>3} s] {}, the outbox of the Rust client", start.elapsed().as_secs(), kind.title());
        match outbox::measure(kind, &outbox, size.window).await {
            Ok(rows) => {
                println!("\nthe Rust client's outbox, {}", kind.title());
                rows.iter().for_each(|(name, figure)| println!("{name:<50}{figure:>28}"));
            }
            Err(error) => {
                eprintln!("{}: {error}", kind.title());
                failed = true;
            }
        }
    }
    println!("\nmemory of a full outbox");
    for (entries, bytes) in FULL {
        // In a process of its own, whose memory nothing else has grown.
        let program = std::env::current_exe()?;
        let output =
            std::process::Command::new(program).args(["--weigh", &format!("{entries}x{bytes}")]).output()?;
        let figure = String::from_utf8_lossy(&output.stdout);
        println!("{:<50}{:>28}", format!("{entries} messages of {bytes} bytes"), figure.trim());
        failed |= !output.status.success();
    }
    eprintln!("[{:>3} s] done, on {} cores", start.elapsed().as_secs(), cores());
    if failed { Err("not everything could be measured".into()) } else { Ok(()) }
}

async fn measure(kind: Kind, programs: &Programs, size: &Size, table: &mut Table) -> std::io::Result<()> {
    let fresh = || Server::start(kind, programs);
    let Some(server) = fresh()? else {
        eprintln!("        NOT MEASURED: its program was not built");
        return Ok(());
    };
    eprintln!("        {} idle connections", size.connections);
    let bytes = scenario::idle(&server, size.connections).await?;
    table.set(&format!("memory per idle connection ({})", size.connections), Unit::Kib, kind, bytes / 1024.0);
    drop(server);

    for (row, load) in [("1 x 500", ONE_ROOM), ("200 x 10", MANY_ROOMS)] {
        let Some(server) = fresh()? else { return Ok(()) };
        eprintln!("        delivery, {row}");
        let cost = scenario::deliver(&server, load, size.window).await?;
        table.set(&format!("CPU per delivery, {row}"), Unit::Micros, kind, micros(cost.cpu));
        // At a low rate Redis' own housekeeping would be most of it.
        if let Some(redis) = cost.redis.filter(|_| load.rate >= 1000) {
            table.set(&format!("Redis CPU per publish, {row}"), Unit::Micros, kind, micros(redis));
        }
    }

    if matches!(kind, Kind::Homing | Kind::Go) {
        for way in Way::ALL {
            let Some(server) = fresh()? else { return Ok(()) };
            eprintln!("        {}: idle connections and delivery", way.title());
            let connections = size.connections / 5;
            let bytes = streamed::idle(&server, way, connections).await?;
            let row = format!("memory per idle connection, {} ({connections})", way.title());
            table.set(&row, Unit::Kib, kind, bytes / 1024.0);
            drop(server);
            let Some(server) = fresh()? else { return Ok(()) };
            let cost = streamed::deliver(&server, way, ONE_ROOM, size.window).await?;
            table.set(
                &format!("CPU per delivery, 1 x 500, {}", way.title()),
                Unit::Micros,
                kind,
                micros(cost.cpu),
            );
        }
    }

    let Some(server) = fresh()? else { return Ok(()) };
    eprintln!("        {} publishers", size.publishers);
    let cost = scenario::publish(&server, size.publishers, size.window, false).await?;
    table.set("CPU per acked publish", Unit::Micros, kind, micros(cost.cpu));
    if let Some(redis) = cost.redis {
        table.set("Redis CPU per acked publish", Unit::Micros, kind, micros(redis));
    }
    table.set("acked publishes per second", Unit::Count, kind, cost.per_second);
    table.set("ack p50", Unit::Micros, kind, micros(cost.p50));
    table.set("ack p99", Unit::Micros, kind, micros(cost.p99));
    drop(server);

    if kind.knows_producers() {
        let Some(server) = fresh()? else { return Ok(()) };
        eprintln!("        {} publishers that number their messages", size.publishers);
        let cost = scenario::publish(&server, size.publishers, size.window, true).await?;
        table.set("CPU per numbered publish", Unit::Micros, kind, micros(cost.cpu));
        if let Some(redis) = cost.redis {
            table.set("Redis CPU per numbered publish", Unit::Micros, kind, micros(redis));
        }
        table.set("numbered publishes per second", Unit::Count, kind, cost.per_second);
        table.set("numbered ack p50", Unit::Micros, kind, micros(cost.p50));
        table.set("numbered ack p99", Unit::Micros, kind, micros(cost.p99));
    }

    for (load, callers) in Load::ALL {
        if !matches!(kind, Kind::Homing | Kind::HomingRedis) {
            break;
        }
        let Some(server) = fresh()? else { return Ok(()) };
        eprintln!("        {}", load.name());
        let cost = api::call(&server, load, callers, size.window).await?;
        table.set(&format!("{}: publishes per second", load.name()), Unit::Count, kind, cost.per_second);
        table.set(&format!("{}: CPU per publish", load.name()), Unit::Micros, kind, micros(cost.cpu));
        table.set(&format!("{}: p99", load.name()), Unit::Micros, kind, micros(cost.p99));
    }
    Ok(())
}

/// Prints what so many messages of so many bytes weigh in the outbox.
async fn weigh(load: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (entries, bytes) = load.split_once('x').ok_or("messages x bytes")?;
    let weight = outbox::weigh(entries.parse()?, bytes.parse()?).await?;
    println!("{:.0} KiB", weight / 1024.0);
    Ok(())
}

/// Clients that come all at once, with a hook that says who they are and without one.
async fn measure_hook(programs: &Programs, connections: usize, table: &mut Table) -> std::io::Result<()> {
    let backend = hooks::backend().await?;
    let servers = [
        ("", Server::start(Kind::Homing, programs)?),
        (", connect hook", Server::start_with_hook(programs, backend)?),
    ];
    for (row, server) in servers {
        let Some(server) = server else { return Ok(()) };
        eprintln!("        {connections} connects{row}");
        let (per_second, cpu) = hooks::connect(&server, connections).await?;
        table.set(&format!("connects per second{row}"), Unit::Count, Kind::Homing, per_second);
        table.set(&format!("CPU per connect{row}"), Unit::Micros, Kind::Homing, micros(cpu));
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

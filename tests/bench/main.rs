//! `make bench`: the same loads on a bare floor, on Homing's server and on a plain Centrifuge server, in
//! memory and on Redis, printed as one table with each figure's ratio to the floor and to the peer of the
//! same run. This process is the load generator; every server runs in a process of its own.
#![expect(clippy::print_stdout, reason = "the table is its output")]
#![expect(clippy::print_stderr, reason = "progress, and what could not be measured, belong beside the table")]

mod payload;
mod scenario;
mod server;
mod socket;
mod table;

use std::time::{Duration, Instant};

use scenario::Rooms;
use server::{Kind, Programs, Server};
use table::{Table, Unit};

const ONE_ROOM: Rooms = Rooms { rooms: 1, members: 500, rate: 100 };
const MANY_ROOMS: Rooms = Rooms { rooms: 200, members: 10, rate: 5000 };

/// What Homing's server is held to; a figure that misses is a task, not a failure.
const AIMS: &str = "8 KiB per idle connection; delivery 1.25f; acked publish in memory 2f; \
                    on Redis 0.6g per delivery and per acked publish";

struct Size {
    connections: usize,
    publishers: usize,
    window: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut programs = Programs::default();
    let mut size = Size { connections: 10_000, publishers: 50, window: Duration::from_secs(6) };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("every argument takes a value")?;
        match argument.as_str() {
            "--floor" => programs.floor = Some(value.into()),
            "--homing" => programs.homing = Some(value.into()),
            "--homing-config" => programs.homing_config = Some(value.into()),
            "--go" => programs.go = Some(value.into()),
            "--connections" => size.connections = value.parse()?,
            "--seconds" => size.window = Duration::from_secs(value.parse()?),
            other => return Err(format!("no such argument: {other}").into()),
        }
    }
    let mut table = Table::default();
    let mut failed = false;
    let start = Instant::now();
    for kind in Kind::ALL {
        eprintln!("[{:>3} s] {}", start.elapsed().as_secs(), kind.title());
        if let Err(error) = measure(kind, &programs, &size, &mut table).await {
            eprintln!("{}: {error}", kind.title());
            failed = true;
        }
    }
    eprintln!("[{:>3} s] done, on {} cores", start.elapsed().as_secs(), cores());
    println!("{table}");
    println!("aims: {AIMS}");
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

    let Some(server) = fresh()? else { return Ok(()) };
    eprintln!("        {} publishers", size.publishers);
    let cost = scenario::publish(&server, size.publishers, size.window).await?;
    table.set("CPU per acked publish", Unit::Micros, kind, micros(cost.cpu));
    if let Some(redis) = cost.redis {
        table.set("Redis CPU per acked publish", Unit::Micros, kind, micros(redis));
    }
    table.set("acked publishes per second", Unit::Count, kind, cost.per_second);
    table.set("ack p50", Unit::Micros, kind, micros(cost.p50));
    table.set("ack p99", Unit::Micros, kind, micros(cost.p99));
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

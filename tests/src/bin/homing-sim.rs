//! Tells stories of the simulation by seed, on all cores, and shows how it goes. A failing one is told in words,
//! as short as it can be made. `make sim SEEDS=… START=…` calls it.
#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use homing_tests::simulation::{Outcome, Plan, Words, run, shrink};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Stories tried while a failing one is made shorter.
const TRIES: usize = 3000;

/// What to do, from the environment.
struct Task {
    start: u64,
    seeds: u64,
    threads: usize,
    /// Failing seeds after which it stops.
    most: usize,
    /// Whether a failing story is told.
    tells: bool,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let task = Task {
        start: number("START").unwrap_or(0),
        seeds: number("SEEDS").unwrap_or(100_000),
        threads: number("THREADS").map_or(cores, |threads| usize::try_from(threads).unwrap_or(cores)),
        most: number("FAILURES").map_or(1, |most| usize::try_from(most).unwrap_or(1)),
        tells: number("QUIET").is_none(),
    };
    let begun = Instant::now();
    let (next, done, stop) = (AtomicU64::new(task.start), AtomicU64::new(0), AtomicBool::new(false));
    let failing: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let troubles: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let end = task.start.saturating_add(task.seeds);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..task.threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeMap::<_, u64>::new();
                    while !stop.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            break;
                        }
                        let outcome = run(&Plan::new(seed), Words::Spared);
                        for (trouble, count) in outcome.troubles {
                            *seen.entry(trouble).or_default() += count;
                        }
                        if let Some(wrong) = outcome.wrong {
                            let mut failing = failing.lock().expect("nobody panics with it");
                            failing.insert(seed, wrong);
                            stop.fetch_or(failing.len() >= task.most, Ordering::Relaxed);
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut troubles = troubles.lock().expect("nobody panics with it");
                    for (trouble, count) in seen {
                        *troubles.entry(trouble).or_default() += count;
                    }
                })
            })
            .collect();
        let mut shown = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            let pause = if std::io::stdout().is_terminal() { 1 } else { 10 };
            if shown.elapsed() > Duration::from_secs(pause) {
                shown = Instant::now();
                progress(&task, done.load(Ordering::Relaxed), begun);
            }
        }
    });
    progress(&task, done.load(Ordering::Relaxed), begun);
    println!();
    let failing = failing.into_inner().expect("nobody panics with it");
    if task.tells {
        println!("What happened in them:");
        for (trouble, count) in troubles.into_inner().expect("nobody panics with it") {
            println!("{count:>10}  {trouble}");
        }
    }
    for (seed, wrong) in &failing {
        println!("seed {seed}: {wrong}");
    }
    let Some((seed, _)) = failing.first_key_value() else {
        println!("{} seeds, every promise was kept", task.seeds);
        return ExitCode::SUCCESS;
    };
    if task.tells {
        explain(*seed);
    }
    ExitCode::FAILURE
}

fn progress(task: &Task, done: u64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let line =
        format!("{done} of {} seeds in {seconds:.1} s, {:.0} a second", task.seeds, done as f64 / seconds);
    if std::io::stdout().is_terminal() {
        print!("\r{line} ");
    } else {
        println!("{line}");
    }
    let _ = std::io::stdout().flush();
}

/// The story of a failing seed, in words.
fn explain(seed: u64) {
    let plan = Plan::new(seed);
    let (one, two) = (run(&plan, Words::Spared), run(&plan, Words::Spared));
    if one.hash != two.hash || one.wrong != two.wrong {
        println!("seed {seed} does not tell the same story twice");
    }
    println!(
        "\nThe story of seed {seed}, as short as it can be told (replay: START={seed} SEEDS=1 make sim)\n"
    );
    let (plan, Outcome { wrong, lines, hash, .. }) = shrink(&plan, TRIES);
    println!("{}\n", plan.cast());
    for line in lines {
        println!("{line}");
    }
    println!("\nWRONG: {}", wrong.unwrap_or_else(|| "nothing, after all".into()));
    println!("trace {hash:016x}");
}

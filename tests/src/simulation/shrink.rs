//! Makes a failing story short: leaves out what it fails without, and tries again.

use super::{Outcome, Plan, Words, plan::Person, run};

/// What went wrong, without the names and numbers that differ from one story to the next.
fn kind(outcome: &Outcome) -> Option<String> {
    let wrong = outcome.wrong.as_ref()?;
    let place = wrong.rfind('(').map_or("", |at| &wrong[at..]);
    Some(place.to_owned())
}

/// The shortest story found that ends as badly as `plan` does, and how it is told; at most `tries` are tried.
#[must_use]
pub fn shrink(plan: &Plan, tries: usize) -> (Plan, Outcome) {
    let mut best = plan.clone();
    let wanted = kind(&run(&best, Words::Spared));
    let mut left = tries;
    let mut fails = |plan: &Plan| {
        left = left.saturating_sub(1);
        left > 0 && wanted.is_some() && kind(&run(plan, Words::Spared)) == wanted
    };
    loop {
        let before = size(&best);
        let mut chunk = best.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut shorter = best.clone();
                shorter.steps.drain(at..(at + chunk).min(best.steps.len()));
                if fails(&shorter) {
                    best = shorter;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        for simpler in simpler(&best) {
            let simpler = simpler(&best);
            if fails(&simpler) {
                best = simpler;
            }
        }
        if size(&best) >= before {
            break;
        }
    }
    let outcome = run(&best, Words::Kept);
    (best, outcome)
}

type Change = Box<dyn Fn(&Plan) -> Plan>;

/// Ways to make a story simpler without leaving out a step.
fn simpler(plan: &Plan) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut setup = |change: fn(&mut Plan)| {
        changes.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            change(&mut plan);
            plan
        }));
    };
    setup(|plan| plan.setup.presence = false);
    setup(|plan| plan.setup.strict = false);
    setup(|plan| plan.setup.picky = false);
    setup(|plan| plan.setup.spread = 10);
    setup(|plan| plan.setup.nodes = plan.highest_node());
    setup(|plan| plan.setup.people.truncate(plan.highest_client()));
    for number in 0..plan.setup.people.len() {
        let changed: [fn(&mut Person); 6] = [
            |person| person.skew = 0,
            |person| person.handler = 0,
            |person| person.disk = 2,
            |person| person.shares = false,
            |person| person.named = false,
            |person| (person.entries, person.age) = (1024, 7 * 24 * 3600),
        ];
        for change in changed {
            changes.push(Box::new(move |plan| {
                let mut plan = plan.clone();
                if let Some(person) = plan.setup.people.get_mut(number) {
                    change(person);
                }
                plan
            }));
        }
    }
    for at in 0..plan.steps.len() {
        changes.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            if let Some(step) = plan.steps.get_mut(at) {
                step.0 = 0;
            }
            plan
        }));
        changes.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            if let Some(step) = plan.steps.get_mut(at) {
                step.1.make_small();
            }
            plan
        }));
    }
    changes
}

fn size(plan: &Plan) -> u64 {
    let setup = &plan.setup;
    let steps: u64 = plan.steps.iter().map(|(pause, step)| 10 + pause.min(&1) + step.weight()).sum();
    let people: u64 = setup
        .people
        .iter()
        .map(|person| {
            10 + u64::from(person.skew != 0)
                + u64::from(person.handler > 0)
                + u64::from(person.shares)
                + u64::from(person.named)
        })
        .sum();
    steps
        + people
        + setup.nodes as u64
        + u64::from(setup.presence)
        + u64::from(setup.strict)
        + u64::from(setup.picky)
}

//! Feeds everything that reads bytes from outside with damaged inputs, for a given time of the processor, on all cores.
//!
//! Plain mutation of good inputs, without instrumentation, so that the one stable toolchain is enough. It finds
//! panics, broken invariants and inputs that take far longer than their length explains.
//!
//! | module | holds |
//! |---|---|
//! | `targets` | one function per parser, and the good inputs it starts from |
//! | `mutate` | how an input is damaged |
//! | `watch` | panics and slowness, and the file that the input is saved in |
//!
//! Invariants
//! - the seed is printed first, and the same seed gives the same inputs;
//! - the input that broke a parser is in a file before the run ends.

mod mutate;
mod targets;
mod watch;

use mutate::Mutator;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use targets::{TARGETS, Target};
use watch::{Watch, processor_time};

/// What was asked for.
struct Arguments {
    seconds: u64,
    seed: u64,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        tell("usage: unseed-fuzz [--seconds N] [--seed N] [PARSER]…");
        return ExitCode::from(2);
    };
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|t| arguments.names.is_empty() || arguments.names.iter().any(|n| n == t.name))
        .collect();
    if chosen.is_empty() {
        let known: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        tell(&format!("no such parser; there are {}", known.join(", ")));
        return ExitCode::from(2);
    }
    tell(&format!(
        "seed {}, {} parsers, {} s of a processor each",
        arguments.seed,
        chosen.len(),
        arguments.seconds
    ));
    watch::be_silent();
    let queue = Mutex::new(chosen);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let broken = Mutex::new(0_u32);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").pop();
                    let Some(target) = next else { break };
                    let whole = feed(target, &arguments);
                    *broken.lock().expect("no worker panics") += u32::from(!whole);
                }
            });
        }
    });
    let broken = *broken.lock().expect("no worker panics");
    ExitCode::from(u8::from(broken > 0))
}

/// Feeds one parser until the time is over; false if it broke.
fn feed(target: &Target, arguments: &Arguments) -> bool {
    let mut mutator = Mutator::new(arguments.seed, target.name, &(target.seeds)());
    let until = processor_time() + Duration::from_secs(arguments.seconds);
    let watch = Watch::new(target.name, arguments.seed);
    let mut inputs = 0_u64;
    while processor_time() < until {
        let input = mutator.next();
        inputs += 1;
        if let Err(why) = watch.run(target.read, input) {
            tell(&format!("{:<14} BROKEN after {inputs} inputs: {why}", target.name));
            return false;
        }
    }
    tell(&format!("{:<14} {inputs} inputs, slowest {} ms", target.name, watch.slowest_ms()));
    true
}

fn arguments() -> Option<Arguments> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut read = Arguments { seconds: 8, seed: clock, names: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--seconds" => read.seconds = given.next()?.parse().ok()?,
            "--seed" => read.seed = given.next()?.parse().ok()?,
            name if name.starts_with('-') => return None,
            name => read.names.push(name.to_owned()),
        }
    }
    Some(read)
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the output wants no more of it.
    drop(writeln!(out, "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parser_survives_a_few_hundred_damaged_inputs() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            seeds.iter().for_each(|seed| (target.read)(seed));
            let mut mutator = Mutator::new(7, target.name, &seeds);
            for _ in 0..300 {
                (target.read)(mutator.next());
            }
        }
    }
}

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
use std::collections::VecDeque;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};
use targets::{TARGETS, Target};
use watch::{Watch, processor_time};

/// What was asked for.
struct Arguments {
    /// Of a processor, for each parser.
    seconds: u64,
    /// Of a clock, for all of them; on a machine that has no time to spare parsers get less.
    within: u64,
    seed: u64,
    names: Vec<String>,
}

/// Parsers are fed in turns, so that all get as much when time runs out.
const TURN_S: u64 = 10;

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        tell("usage: unseed-fuzz [--seconds N] [--within N] [--seed N] [PARSER]…");
        return ExitCode::from(2);
    };
    let is_chosen = |t: &&Target| arguments.names.is_empty() || arguments.names.iter().any(|n| n == t.name);
    let chosen: Vec<Fed> = TARGETS.iter().filter(is_chosen).map(Fed::new).collect();
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
    let until = Instant::now() + Duration::from_secs(arguments.within);
    let queue = Mutex::new(VecDeque::from(chosen));
    let ended = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").pop_front();
                    let Some(mut fed) = next else { break };
                    fed.turn(&arguments);
                    if fed.is_done(&arguments) || Instant::now() >= until {
                        ended.lock().expect("no worker panics").push(fed);
                    } else {
                        queue.lock().expect("no worker panics").push_back(fed);
                    }
                }
            });
        }
    });
    let ended = ended.into_inner().expect("no worker panics");
    ended.iter().for_each(Fed::tell);
    ExitCode::from(u8::from(ended.iter().any(|fed| fed.broken.is_some())))
}

/// How far a parser has come.
struct Fed {
    target: &'static Target,
    inputs: u64,
    turns: u64,
    seconds: u64,
    slowest_ms: u128,
    broken: Option<String>,
}

impl Fed {
    fn new(target: &'static Target) -> Self {
        Self { target, inputs: 0, turns: 0, seconds: 0, slowest_ms: 0, broken: None }
    }

    /// Feeds the parser for one turn, with inputs of the turn's own.
    fn turn(&mut self, arguments: &Arguments) {
        let seed = arguments.seed.wrapping_add(self.turns);
        let seconds = (arguments.seconds - self.seconds).min(TURN_S);
        let mut mutator = Mutator::new(seed, self.target.name, &(self.target.seeds)());
        let until = processor_time() + Duration::from_secs(seconds);
        let watch = Watch::new(self.target.name, seed);
        while processor_time() < until && self.broken.is_none() {
            self.inputs += 1;
            self.broken = watch.run(self.target.read, mutator.next()).err();
        }
        self.turns += 1;
        self.seconds += seconds;
        self.slowest_ms = self.slowest_ms.max(watch.slowest_ms());
    }

    fn is_done(&self, arguments: &Arguments) -> bool {
        self.broken.is_some() || self.seconds >= arguments.seconds
    }

    fn tell(&self) {
        let (name, inputs, seconds) = (self.target.name, self.inputs, self.seconds);
        match &self.broken {
            Some(why) => tell(&format!("{name:<14} BROKEN after {inputs} inputs: {why}")),
            None => tell(&format!("{name:<14} {seconds} s, {inputs} inputs, slowest {} ms", self.slowest_ms)),
        }
    }
}

fn arguments() -> Option<Arguments> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut read = Arguments { seconds: 8, within: 24 * 3_600, seed: clock, names: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--seconds" => read.seconds = given.next()?.parse().ok()?,
            "--within" => read.within = given.next()?.parse().ok()?,
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

//! Whatever dies, and whenever: what is archived and what is left are the original, and a restore brings it back.
//!
//! The real binary is killed at random instants and at every write of its journal, its connection is cut around a
//! commit, its server is killed, its journal is damaged, and others write all the time. Seeds are the same on every
//! run: `UNSEED_SEED` is the first one and `UNSEED_CASES` how many there are; `UNSEED_STEPS` is how many steps of a purge
//! there are from one kill to the next.
//!
//! Not here: each single step inside of the engine (its own crash loops on the reference store).

mod books;
mod crash;
mod cut;
mod disk;
mod journal;
mod line;
mod lost;
mod scene;
mod server;
mod stopped;
mod traffic;

pub(crate) use line::Line;
pub(crate) use scene::kill;

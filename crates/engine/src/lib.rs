//! Runs: ordered steps over the ports of `core`, with a journal after every step.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | chooses roots, closes over them, refuses what is not safe, seals a plan |
//! | [`warnings`] | what a person should know before approving |
//! | [`purge`] | archives, removes and proves, batch by batch |
//! | [`resume`] | goes on from the journal |
//! | [`verify`] | looks again: roots, orphans, protected rows, archive |
//! | [`restore`] | puts archived rows back |
//! | [`legs`] | one plan over several stores: order, values that flow between them, one run |
//! | [`hooks`] | commands of a person around a purge or a restore |
//! | [`due`] | ends quarantines whose time is over |
//! | [`retention`] | removes archives whose time is over, holds others |
//! | [`check`] | looks at an archive without a store |
//! | [`report`] | what a run tells about itself |
//! | [`scan`] | finds test data: streams tenants and users, weighs them, reports |
//! | [`work`] | opens a store for a plan: the same graph when planning and when purging |
//!
//! Nothing in here opens a file or a socket, and nothing but the given clock (and the timer of the runtime, for how
//! long something took) tells the time.

mod ahead;
mod batches;
pub mod check;
pub mod context;
pub mod due;
mod ending;
mod fingerprints;
pub mod hooks;
mod indexes;
pub mod interrupt;
pub mod legs;
mod pace;
pub mod plan;
mod positions;
pub mod purge;
mod refusals;
pub mod report;
pub mod restore;
pub mod resume;
pub mod retention;
pub mod scan;
mod session;
mod settle;
pub mod verify;
pub mod warnings;
pub mod work;

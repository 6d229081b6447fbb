//! The nouns and decisions of unseed: what a schema is, which rows leave together, what a plan says, what
//! looks like test data. Nothing in here tells the time, reads a file, opens a socket or draws a random number.
//!
//! | module | decides |
//! |---|---|
//! | [`schema`] | the shape of a store: tables, keys, references, triggers |
//! | [`config`] | the configuration file as typed values |
//! | [`policy`] | what a person added: configured references, protections, limits |
//! | [`closure`] | which rows must leave together, as a program over sets |
//! | [`protect`] | to whom a row belongs, and what must never be touched |
//! | [`plan`] | the immutable plan and its digest |
//! | [`keys`] | a plan together with the keys of its roots |
//! | [`legs`] | one plan over several stores: how they follow from one another, and their order |
//! | [`subjects`] | values of rows by which entries of derived stores are found |
//! | [`approve`] | the proof that whoever has to agree has agreed |
//! | [`pattern`] | which keys of a derived store belong to which rows |
//! | [`permit`] | what may be removed at all |
//! | [`audit`] | the chain of the audit log, its checkpoints and anchors |
//! | [`throttle`] | when a purge waits for others, and when it gives up |
//! | [`hook`] | commands around a purge or a restore, and whether they are those of the plan |
//! | [`batch`] | how roots are packed into transactions |
//! | [`rows`] | nothing: lists of keys in little memory |
//! | [`run`] | states of runs and batches |
//! | [`keeping`] | how long rows can be put back |
//! | [`archive`] | the manifest: what an archive holds and how it is proven |
//! | [`address`] | which addresses hold a password, and how they look without it |
//! | [`fault`] | failures in three parts, and their exit codes |
//! | [`port`] | the traits that `io` implements and `engine` calls |

pub mod address;
pub mod approve;
pub mod archive;
pub mod audit;
pub mod batch;
pub mod closure;
pub mod config;
pub mod detect;
pub mod entity;
pub mod fault;
pub mod hook;
pub mod keeping;
pub mod keys;
pub mod legs;
pub mod pattern;
pub mod permit;
pub mod plan;
pub mod policy;
pub mod port;
pub mod protect;
pub mod rows;
pub mod run;
pub mod scan;
pub mod schema;
pub mod subjects;
pub mod throttle;

//! The engine against the memory store: promises about plans, purges, crashes and restores.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod closure;
mod crash;
mod keeping;
mod legs;
mod pace;
mod plan;
mod purge;
mod shop;
mod short;
mod verify;
mod world;

//! The engine against the memory store: promises about plans, purges, crashes and restores.

mod closure;
mod crash;
mod world;

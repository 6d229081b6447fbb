//! One plan over several stores: the real binary, real databases, real programs behind commands.
//!
//! Not here: what each kind of store does alone.

mod commands;
mod examples;
mod live;
mod prego;
mod scene;

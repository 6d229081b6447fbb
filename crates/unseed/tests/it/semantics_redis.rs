//! Real Redis servers, through the port of derived stores.

mod access;
mod cluster;
mod quiet;
mod races;
mod roundtrip;
mod scale;
mod scene;

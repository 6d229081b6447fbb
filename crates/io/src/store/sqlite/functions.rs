//! SQL functions of ours: hash of a row, and order-free digest of many.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// Registers `unseed_hash(…)` and `unseed_digest(hash)` on a connection.
pub(super) fn register(db: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("unseed_hash", -1, flags, |context| Ok(hash(context)))?;
    db.create_aggregate_function("unseed_digest", 1, flags, Digest)
}

/// Hashes type and content of every argument; 16 hexadecimal digits.
fn hash(context: &Context<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    for index in 0..context.len() {
        let (tag, bytes): (u8, Vec<u8>) = match context.get_raw(index) {
            ValueRef::Null => (0, Vec::new()),
            ValueRef::Integer(number) => (1, number.to_le_bytes().to_vec()),
            ValueRef::Real(number) => (2, number.to_bits().to_le_bytes().to_vec()),
            ValueRef::Text(bytes) => (3, bytes.to_vec()),
            ValueRef::Blob(bytes) => (4, bytes.to_vec()),
        };
        hasher.update(&[tag]);
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(&bytes);
    }
    let hex = hasher.finalize().to_hex();
    hex.as_str().chars().take(16).collect()
}

struct Digest;

/// Sum of the hashes modulo 2^64: the order of the rows does not matter, their number does.
impl Aggregate<u64, String> for Digest {
    fn init(&self, _context: &mut Context<'_>) -> Result<u64> {
        Ok(0)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut u64) -> Result<()> {
        let text: String = context.get(0)?;
        *sum = sum.wrapping_add(u64::from_str_radix(&text, 16).unwrap_or_default());
        Ok(())
    }

    fn finalize(&self, _context: &mut Context<'_>, sum: Option<u64>) -> Result<String> {
        Ok(format!("{:016x}", sum.unwrap_or_default()))
    }
}

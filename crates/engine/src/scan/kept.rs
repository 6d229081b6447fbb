//! What a scan remembers of a row that is a finding or may still become one: a few numbers, and its values as
//! they were read.
//!
//! The numbers decide the verdict once the whole store is known; the values are looked at again only for the
//! rows that somebody reads about.
//!
//! Invariants
//! - what is encoded comes back as it was;
//! - all rows of one table are encoded in the same number of bytes, but for their values.

use unseed_core::detect::seed_password::is_published;
use unseed_core::detect::{Reasons, Stem};

/// The numbers of one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kept {
    /// Log-odds without what only the whole store tells.
    pub log_odds: f64,
    pub reasons: Reasons,
    /// Seconds since 1970.
    pub created_at: Option<i64>,
    pub stem: Option<Stem>,
    /// Hash of its tenant's key.
    pub tenant: Option<u64>,
    pub orphan: bool,
    /// Its verdict was certain and is counted already; it is kept to be shown.
    pub is_counted: bool,
    /// Its whole sum is asked for.
    pub is_explained: bool,
    /// Bytes of its values.
    pub values: u32,
    /// Hashes of the columns by which other tables point at it.
    pub own: Vec<u64>,
    /// Hashes of values that it may share with others.
    pub shared: Vec<u64>,
}

/// Bytes without the hashes.
const FIXED: usize = 8 + 8 + 2 + 1 + 8 + 8 + 4 + 8 + 4;
const HAS_TIME: u8 = 1;
const HAS_STEM: u8 = 2;
const IS_GENERIC: u8 = 4;
const HAS_TENANT: u8 = 8;
const IS_ORPHAN: u8 = 16;
const IS_COUNTED: u8 = 32;
const IS_EXPLAINED: u8 = 64;

impl Kept {
    /// Bytes of a row with so many hashes.
    pub(super) fn width(hashes: usize) -> usize {
        FIXED + hashes * 8
    }

    /// Appends the row.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.created_at.is_some(), HAS_TIME)
            | flag(self.stem.is_some(), HAS_STEM)
            | flag(self.stem.is_some_and(|s| s.generic), IS_GENERIC)
            | flag(self.tenant.is_some(), HAS_TENANT)
            | flag(self.orphan, IS_ORPHAN)
            | flag(self.is_counted, IS_COUNTED)
            | flag(self.is_explained, IS_EXPLAINED);
        let stem = self.stem.unwrap_or(Stem { hash: 0, number: 0, generic: false });
        into.extend_from_slice(&self.log_odds.to_le_bytes());
        into.extend_from_slice(&self.reasons.positive.to_le_bytes());
        into.extend_from_slice(&self.reasons.strongest);
        into.push(flags);
        into.extend_from_slice(&self.created_at.unwrap_or(0).to_le_bytes());
        into.extend_from_slice(&stem.hash.to_le_bytes());
        into.extend_from_slice(&stem.number.to_le_bytes());
        into.extend_from_slice(&self.tenant.unwrap_or(0).to_le_bytes());
        into.extend_from_slice(&self.values.to_le_bytes());
        self.own.iter().chain(&self.shared).for_each(|hash| into.extend_from_slice(&hash.to_le_bytes()));
    }

    /// Reads a row with so many hashes of its keys back into this one.
    pub(super) fn decode(&mut self, bytes: &[u8], own: usize) {
        let mut rest = bytes;
        self.log_odds = f64::from_le_bytes(next(&mut rest));
        self.reasons = Reasons { positive: u64::from_le_bytes(next(&mut rest)), strongest: next(&mut rest) };
        let [flags] = next(&mut rest);
        let has = |flag: u8| flags & flag != 0;
        let at = i64::from_le_bytes(next(&mut rest));
        self.created_at = has(HAS_TIME).then_some(at);
        let hash = u64::from_le_bytes(next(&mut rest));
        let number = u32::from_le_bytes(next(&mut rest));
        self.stem = has(HAS_STEM).then_some(Stem { hash, number, generic: has(IS_GENERIC) });
        let tenant = u64::from_le_bytes(next(&mut rest));
        self.tenant = has(HAS_TENANT).then_some(tenant);
        self.orphan = has(IS_ORPHAN);
        self.is_counted = has(IS_COUNTED);
        self.is_explained = has(IS_EXPLAINED);
        self.values = u32::from_le_bytes(next(&mut rest));
        self.own.clear();
        self.shared.clear();
        while !rest.is_empty() {
            let hash = u64::from_le_bytes(next(&mut rest));
            if self.own.len() < own { self.own.push(hash) } else { self.shared.push(hash) }
        }
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (first, behind) = rest.split_first_chunk().expect("rows are read as they were written");
    *rest = behind;
    *first
}

/// Appends the values of a row, but for a secret one, which no file may hold unless everybody knows it.
pub(super) fn encode_values(row: &[Option<&str>], secret: Option<usize>, into: &mut Vec<u8>) {
    for (position, value) in row.iter().enumerate() {
        let value = value.filter(|text| secret != Some(position) || is_published(text));
        let length = value.map_or(0, |text| u32::try_from(text.len() + 1).unwrap_or(u32::MAX));
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(value.unwrap_or("").as_bytes());
    }
}

/// The values of a row.
pub(super) fn decode_values(bytes: &[u8]) -> Vec<Option<&str>> {
    let mut rest = bytes;
    let mut row = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(next(&mut rest))).expect("32 bits fit in a usize");
        let Some(length) = length.checked_sub(1) else {
            row.push(None);
            continue;
        };
        let (text, behind) = rest.split_at(length);
        row.push(Some(std::str::from_utf8(text).expect("values are text")));
        rest = behind;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        let full = Kept {
            log_odds: 3.25,
            reasons: Reasons { positive: 5, strongest: [3, 1] },
            created_at: Some(-7),
            stem: Some(Stem { hash: 9, number: 17, generic: true }),
            tenant: Some(11),
            orphan: true,
            is_counted: true,
            is_explained: true,
            values: 40,
            own: vec![1, 2],
            shared: vec![3],
        };
        for kept in [full, Kept::default()] {
            let mut bytes = Vec::new();
            kept.encode(&mut bytes);
            assert_eq!(bytes.len(), Kept::width(kept.own.len() + kept.shared.len()));
            let mut back = Kept { own: vec![8], ..Kept::default() };
            back.decode(&bytes, kept.own.len());
            assert_eq!(back, kept);
        }
        let row = [Some("ü"), None, Some("")];
        let mut bytes = Vec::new();
        encode_values(&row, None, &mut bytes);
        assert_eq!(decode_values(&bytes), row);
        bytes.clear();
        encode_values(&row, Some(0), &mut bytes);
        assert_eq!(decode_values(&bytes), [None, None, Some("")]);
    }
}

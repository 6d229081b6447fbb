//! Asks of every key whether it belongs to a doomed row.
//!
//! Values are kept as hashes: 128 bits of each doomed row, 64 of each other row. What takes a doomed row for another
//! one would need 2^64 tries; what takes an unknown row for one that stays only keeps a key.

use super::digests::Digests;
use super::walk::{self, Lengths, Span, TooMany};
use super::{Group, Pattern, PatternSet, transform};
use crate::fault::Fault;
use crate::port::derived::{Need, Subjects};
use std::ops::ControlFlow;

/// To whom a key belongs; numbers are those of patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fits no pattern, or fits one and belongs to a row that is not doomed.
    Other,
    /// It belongs to a doomed row, and to no other.
    Doomed { pattern: usize, place: Place },
    /// It can be read as belonging to a doomed row, and as belonging to one that stays.
    Ambiguous(usize),
    /// It fits a pattern, and no row is known that it could belong to.
    Orphan(usize),
}

/// A row's place among all that were handed out: what belongs to one row has the same, and rows that were handed out one
/// behind the other have places in that order. Where rows that stay are not known, it only tells rows apart.
pub type Place = u32;

/// Patterns together with the rows that they look for.
#[derive(Debug, Clone)]
pub struct Matcher {
    set: PatternSet,
    rows: Vec<Rows>,
    places: Place,
    skipped: u64,
    scratch: Vec<u8>,
    text: Vec<u8>,
}

/// The rows of a group.
#[derive(Debug, Clone)]
struct Rows {
    doomed: Digests<u128>,
    /// The place of each of them, or of the last of those that have the same values.
    places: Vec<Place>,
    /// Rows that stay; none where they are not known.
    staying: Option<Digests<u64>>,
    lengths: Vec<Lengths>,
}

/// A group while its rows are gathered.
struct Gathering {
    /// Which columns of the need the group's fields are.
    columns: Vec<usize>,
    doomed: Vec<u128>,
    lengths: Vec<Lengths>,
}

impl PatternSet {
    /// Reads the values of doomed rows, and of all others where those are known.
    ///
    /// # Errors
    /// Whatever `subjects` returns.
    pub fn matcher(&self, subjects: &dyn Subjects) -> Result<Matcher, Fault> {
        let mut rows: Vec<Option<Rows>> = vec![None; self.groups.len()];
        let (mut skipped, mut place) = (0, 0);
        for need in self.needs() {
            let members: Vec<usize> =
                (0..self.groups.len()).filter(|g| self.groups[*g].entity == need.entity).collect();
            let groups: Vec<&Group> = members.iter().map(|g| &self.groups[*g]).collect();
            let (gathered, left_out) = gather(&need, &groups, (subjects, &mut place))?;
            skipped += left_out;
            for (group, gathered) in members.into_iter().zip(gathered) {
                rows[group] = Some(gathered);
            }
        }
        let rows: Vec<Rows> =
            rows.into_iter().map(|rows| rows.expect("every group belongs to a need")).collect();
        let last = rows.iter().flat_map(|rows| &rows.places).max();
        let places = last.map_or(0, |last| last.saturating_add(1));
        Ok(Matcher { set: self.clone(), rows, places, skipped, scratch: Vec::new(), text: Vec::new() })
    }
}

/// The rows of all groups of one entity, and how many values of doomed ones cannot be looked for.
fn gather(
    need: &Need,
    groups: &[&Group],
    (subjects, place): (&dyn Subjects, &mut Place),
) -> Result<(Vec<Rows>, u64), Fault> {
    let mut gathering: Vec<Gathering> = groups.iter().map(|group| Gathering::new(group, need)).collect();
    let (mut scratch, mut skipped) = (Vec::new(), 0);
    subjects.doomed(need, &mut |values| {
        for (group, gathering) in groups.iter().zip(&mut gathering) {
            match gathering.digest(group, values, &mut scratch) {
                Some(digest) => gathering.doomed.push(digest),
                None => skipped += 1,
            }
        }
        Ok(())
    })?;
    let mut doomed: Vec<(Digests<u128>, Vec<u32>)> =
        gathering.iter_mut().map(|g| counted(std::mem::take(&mut g.doomed))).collect();
    let mut places: Vec<Vec<Place>> =
        doomed.iter().map(|(_, left)| (0..).take(left.len()).collect()).collect();
    // A value that more rows have than are doomed belongs to one that stays, too.
    let mut staying: Vec<Vec<u64>> = vec![Vec::new(); groups.len()];
    let is_known = subjects.known(need, &mut |values| {
        for (number, (group, gathering)) in groups.iter().zip(&mut gathering).enumerate() {
            let Some(digest) = gathering.digest(group, values, &mut scratch) else { continue };
            let (set, left) = &mut doomed[number];
            match set.position(digest) {
                Some(at) if left[at] > 0 => {
                    left[at] -= 1;
                    places[number][at] = *place;
                }
                Some(_) | None => staying[number].push(short(digest)),
            }
        }
        *place = place.saturating_add(1);
        Ok(())
    })?;
    let mut rows = Vec::new();
    for (((gathering, (set, _)), places), staying) in
        gathering.into_iter().zip(doomed).zip(places).zip(staying)
    {
        let staying = is_known.then(|| Digests::new(staying));
        rows.push(Rows { doomed: set, places, staying, lengths: gathering.lengths });
    }
    Ok((rows, skipped))
}

/// A set, and how many rows each entry stands for.
fn counted(mut all: Vec<u128>) -> (Digests<u128>, Vec<u32>) {
    all.sort_unstable();
    let mut counts: Vec<u32> = Vec::new();
    let mut last = None;
    for digest in &all {
        if last == Some(*digest) {
            if let Some(count) = counts.last_mut() {
                *count = count.saturating_add(1);
            }
        } else {
            counts.push(1);
        }
        last = Some(*digest);
    }
    all.dedup();
    all.shrink_to_fit();
    (Digests::sorted(all), counts)
}

impl Gathering {
    fn new(group: &Group, need: &Need) -> Self {
        let column = |name: &String| need.columns.iter().position(|column| column == name);
        let columns = group.fields.iter().map(|f| column(&f.column).expect("a need has its columns"));
        let lengths = vec![Lengths::NONE; group.fields.len()];
        Self { columns: columns.collect(), doomed: Vec::new(), lengths }
    }

    /// The hash of a row's values; none where one of them is no name.
    fn digest(&mut self, group: &Group, values: &[Option<&str>], scratch: &mut Vec<u8>) -> Option<u128> {
        scratch.clear();
        let mut lengths = Vec::with_capacity(self.columns.len());
        for (field, column) in group.fields.iter().zip(&self.columns) {
            let value = values.get(*column).copied().flatten()?;
            let value = transform::all(&field.transforms, value);
            if value.trim().is_empty() || value.len() < group.value_bytes_min {
                return None;
            }
            append(scratch, value.as_bytes());
            lengths.push(value.len());
        }
        for (known, length) in self.lengths.iter_mut().zip(lengths) {
            known.min = known.min.min(length);
            known.max = known.max.max(length);
        }
        Some(long(scratch))
    }
}

/// A value with its length, so that `ab`, `c` and `a`, `bc` differ.
fn append(tuple: &mut Vec<u8>, value: &[u8]) {
    tuple.extend_from_slice(&value.len().to_le_bytes());
    tuple.extend_from_slice(value);
}

fn long(tuple: &[u8]) -> u128 {
    let hash = blake3::hash(tuple);
    let (half, _) = hash.as_bytes().split_at(16);
    u128::from_be_bytes(half.try_into().expect("a hash has 32 bytes"))
}

fn short(digest: u128) -> u64 {
    u64::try_from(digest >> 64).expect("the upper half has 64 bits")
}

impl Matcher {
    /// The patterns.
    pub fn patterns(&self) -> &PatternSet {
        &self.set
    }

    /// Values of doomed rows that are null, empty or too short to look for.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// No row has a place from here on.
    pub fn places(&self) -> Place {
        self.places
    }

    /// Whether the rows that stay are known to all patterns.
    pub fn knows_all(&self) -> bool {
        self.rows.iter().all(|rows| rows.staying.is_some())
    }

    /// To whom a whole key belongs.
    ///
    /// # Errors
    /// A refusal when the key can be read in too many ways to try them all.
    pub fn key(&mut self, key: &[u8]) -> Result<Verdict, Fault> {
        self.judge(key, key.len(), false)
    }

    /// To whom an entry within a key belongs.
    ///
    /// # Errors
    /// A refusal when it can be read in too many ways to try them all.
    pub fn member(&mut self, key: &[u8], member: &[u8]) -> Result<Verdict, Fault> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.extend_from_slice(key);
        text.extend_from_slice(member);
        let verdict = self.judge(&text, key.len(), true);
        self.text = text;
        verdict
    }

    fn judge(&mut self, text: &[u8], boundary: usize, is_member: bool) -> Result<Verdict, Fault> {
        let (mut orphan, mut is_kept, mut ambiguous) = (None, false, None);
        for (number, pattern) in self.set.patterns.iter().enumerate() {
            if pattern.has_member != is_member || !may_begin(pattern, text) {
                continue;
            }
            let rows = &self.rows[pattern.group];
            let reading = read(pattern, rows, (text, boundary), &mut self.scratch)
                .map_err(|TooMany| too_ambiguous(&pattern.name, text))?;
            match reading {
                Reading { doomed: Some(place), stays: false } => {
                    return Ok(Verdict::Doomed { pattern: number, place });
                }
                Reading { doomed: Some(_), stays: true } => ambiguous = ambiguous.or(Some(number)),
                Reading { doomed: None, stays: true } => is_kept = true,
                Reading { doomed: None, stays: false } => {
                    let is_orphan = orphan.is_none()
                        && rows.staying.is_some()
                        && walk::fits(pattern, text, boundary)
                            .map_err(|TooMany| too_ambiguous(&pattern.name, text))?;
                    if is_orphan {
                        orphan = Some(number);
                    }
                }
            }
        }
        Ok(match (ambiguous, is_kept, orphan) {
            (Some(number), _, _) => Verdict::Ambiguous(number),
            (None, false, Some(number)) => Verdict::Orphan(number),
            (None, true, _) | (None, false, None) => Verdict::Other,
        })
    }
}

/// What all readings of one key by one pattern come to.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    doomed: Option<Place>,
    stays: bool,
}

fn read(
    pattern: &Pattern,
    rows: &Rows,
    (text, boundary): (&[u8], usize),
    scratch: &mut Vec<u8>,
) -> Result<Reading, TooMany> {
    let mut reading = Reading::default();
    walk::readings(pattern, (text, boundary), &rows.lengths, &mut |text: &[u8], spans: &[Span]| {
        scratch.clear();
        for (from, to) in spans {
            append(scratch, &text[*from..*to]);
        }
        let digest = long(scratch);
        reading.doomed = reading.doomed.or_else(|| rows.doomed.position(digest).map(|at| rows.places[at]));
        reading.stays |= rows.staying.as_ref().is_some_and(|set| set.contains(short(digest)));
        if reading.doomed.is_some() && reading.stays {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(reading)
}

fn may_begin(pattern: &Pattern, text: &[u8]) -> bool {
    match pattern.tokens.first() {
        Some(super::Token::Literal(literal)) => text.starts_with(literal),
        Some(super::Token::Field(_) | super::Token::Any | super::Token::Boundary) | None => true,
    }
}

fn too_ambiguous(pattern: &str, text: &[u8]) -> Fault {
    let shown: String = text.escape_ascii().to_string().chars().take(120).collect();
    Fault::refused(format!("the key `{shown}` can be read as `{pattern}` in too many ways to try them all"))
        .hint("write the pattern with longer delimiters, or with fewer `*` in front of its fields")
}

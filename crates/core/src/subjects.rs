//! Values of rows by which entries of derived stores are found, held as lines of JSON.
//!
//! They are read from the source of truth before anything is removed, since they are gone with its rows. Matching holds
//! them in memory anyway, so they are held whole; the limit of rows that a plan may remove bounds them.
//!
//! Invariants
//! - the same rows give the same hash, in whatever order a store returned them;
//! - they are handed out in the order in which the store returned them, also after they were kept and read back: what
//!   else was written for them was mostly written in that order, too;
//! - a value that a row shares with one that stays is noticed ([`SubjectSet::shared`]).
//!
//! Not here: reading them from a store (`port::store`), keeping them (`engine::legs`).

use crate::fault::{Category, Fault};
use crate::plan::SubjectsSum;
use crate::port::derived::{Need, Subjects, VisitSubject};
use std::collections::HashSet;

/// Rows of some entities that leave, and where they are known those that stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectSet {
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    need: Need,
    leaving: Vec<String>,
    /// `None` once they can no longer be asked for.
    staying: Option<Vec<String>>,
}

impl SubjectSet {
    /// An empty set for these needs, one per entity.
    pub fn new(needs: Vec<Need>) -> Self {
        let group = |need| Group { need, leaving: Vec::new(), staying: Some(Vec::new()) };
        Self { groups: needs.into_iter().map(group).collect() }
    }

    /// What it holds values of.
    pub fn needs(&self) -> impl Iterator<Item = &Need> {
        self.groups.iter().map(|group| &group.need)
    }

    /// Adds a row of the need at this position.
    pub fn add(&mut self, position: usize, leaves: bool, values: &[Option<String>]) {
        let line = serde_json::to_string(values).expect("text is always JSON");
        let group = &mut self.groups[position];
        if leaves {
            group.leaving.push(line);
        } else if let Some(staying) = &mut group.staying {
            staying.push(line);
        }
    }

    /// Nothing more is added: each row is kept once, where it came first.
    pub fn seal(&mut self) {
        for group in &mut self.groups {
            let is_again = repeated(&group.leaving);
            let mut is_again = is_again.into_iter();
            group.leaving.retain(|_| is_again.next() == Some(false));
        }
    }

    /// Number and hash of the rows that leave, per need.
    pub fn sums(&self) -> Vec<SubjectsSum> {
        let sum = |group: &Group| SubjectsSum {
            entity: group.need.entity.clone(),
            columns: group.need.columns.clone(),
            count: u64::try_from(group.leaving.len()).expect("a length fits 64 bits"),
            hash: format!("blake3:{}", hash(&group.leaving).to_hex()),
        };
        self.groups.iter().map(sum).collect()
    }

    /// The rows that leave as lines of JSON, for an archive.
    pub fn lines(&self) -> impl Iterator<Item = (&Need, &[String])> {
        self.groups.iter().map(|group| (&group.need, group.leaving.as_slice()))
    }

    /// A set that was archived: rows that leave, and nothing about those that stay.
    ///
    /// # Errors
    /// An archive fault when a line is not what [`SubjectSet::lines`] gave.
    pub fn of_lines(kept: Vec<(Need, Vec<String>)>) -> Result<Self, Fault> {
        let mut groups = Vec::new();
        for (need, leaving) in kept {
            for line in &leaving {
                if parse(line)?.len() != need.columns.len() {
                    return Err(unreadable());
                }
            }
            groups.push(Group { need, leaving, staying: None });
        }
        Ok(Self { groups })
    }

    /// Takes over the rows that stay from `other`, which was read when it was known of each of its rows whether it leaves.
    #[must_use]
    pub fn with_staying(mut self, other: Self) -> Self {
        for (group, other) in self.groups.iter_mut().zip(other.groups) {
            assert_eq!(group.need, other.need, "both were read for the same needs");
            group.staying = other.staying;
        }
        self
    }

    /// How many rows that leave have all these values in common with a row that stays, whatever their case; rows
    /// without one of the values have nothing in common.
    ///
    /// # Errors
    /// A usage fault when such values were not asked for.
    pub fn shared(&self, need: &Need) -> Result<u64, Fault> {
        let (group, columns) = self.find(need)?;
        let Some(staying) = &group.staying else { return Ok(0) };
        let mut stays = HashSet::new();
        for line in staying {
            stays.extend(common(&parse(line)?, &columns));
        }
        let mut shared = 0;
        for line in &group.leaving {
            shared +=
                u64::from(common(&parse(line)?, &columns).is_some_and(|values| stays.contains(&values)));
        }
        Ok(shared)
    }

    fn find(&self, need: &Need) -> Result<(&Group, Vec<usize>), Fault> {
        let missing = || {
            let what = need.columns.join(", ");
            Fault::usage(format!("values of `{}` ({what}) were not read", need.entity))
                .hint("make a new plan with `unseed plan`")
        };
        let group = self.groups.iter().find(|group| group.need.entity == need.entity).ok_or_else(missing)?;
        let at = |column: &String| group.need.columns.iter().position(|known| known == column);
        let columns: Option<Vec<usize>> = need.columns.iter().map(at).collect();
        Ok((group, columns.ok_or_else(missing)?))
    }
}

/// Which lines stand further up as well.
fn repeated(lines: &[String]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_unstable_by(|a, b| lines[*a].cmp(&lines[*b]).then(a.cmp(b)));
    let mut is_again = vec![false; lines.len()];
    for pair in order.windows(2) {
        is_again[pair[1]] = lines[pair[0]] == lines[pair[1]];
    }
    is_again
}

/// A hash over the lines, sorted, with a line end between them.
fn hash(lines: &[String]) -> blake3::Hash {
    let mut sorted: Vec<&str> = lines.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (number, line) in sorted.into_iter().enumerate() {
        if number > 0 {
            hasher.update(b"\n");
        }
        hasher.update(line.as_bytes());
    }
    hasher.finalize()
}

fn visit_lines(lines: &[String], columns: &[usize], visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
    for line in lines {
        let values = parse(line)?;
        let wanted: Vec<Option<&str>> = columns.iter().map(|n| values[*n].as_deref()).collect();
        visit(&wanted)?;
    }
    Ok(())
}

impl Subjects for SubjectSet {
    fn doomed(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        let (group, columns) = self.find(need)?;
        visit_lines(&group.leaving, &columns, visit)
    }

    fn known(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<bool, Fault> {
        let (group, columns) = self.find(need)?;
        let Some(staying) = &group.staying else { return Ok(false) };
        visit_lines(&group.leaving, &columns, visit)?;
        visit_lines(staying, &columns, visit)?;
        Ok(true)
    }
}

fn parse(line: &str) -> Result<Vec<Option<String>>, Fault> {
    serde_json::from_str(line).map_err(|_| unreadable())
}

fn unreadable() -> Fault {
    Fault::new(Category::Archive, "the kept values of removed rows cannot be read")
        .hint("bring the archive folder of the run back from a copy")
}

/// The values as they are compared with those of other rows.
fn common(values: &[Option<String>], columns: &[usize]) -> Option<Vec<String>> {
    let lower = |n: &usize| values[*n].as_deref().filter(|value| !value.is_empty()).map(str::to_lowercase);
    columns.iter().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(columns: &[&str]) -> Need {
        Need { entity: "user".to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect() }
    }

    fn row(id: &str, email: Option<&str>) -> [Option<String>; 2] {
        [Some(id.to_owned()), email.map(str::to_owned)]
    }

    fn set() -> SubjectSet {
        let mut set = SubjectSet::new(vec![need(&["id", "email"])]);
        set.add(0, true, &row("2", Some("B@x.io")));
        set.add(0, true, &row("1", None));
        set.add(0, false, &row("3", Some("b@X.io")));
        set.add(0, false, &row("4", None));
        set.seal();
        set
    }

    fn doomed(set: &SubjectSet, need: &Need) -> Vec<Vec<Option<String>>> {
        let mut seen = Vec::new();
        let mut visit = |values: &[Option<&str>]| {
            seen.push(values.iter().map(|v| v.map(str::to_owned)).collect());
            Ok(())
        };
        set.doomed(need, &mut visit).unwrap();
        seen
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_and_lines_come_back_in_theirs() {
        let set = set();
        let mut other = SubjectSet::new(vec![need(&["id", "email"])]);
        other.add(0, true, &row("1", None));
        other.add(0, true, &row("2", Some("B@x.io")));
        other.add(0, true, &row("1", None));
        other.seal();
        assert_eq!(set.sums(), other.sums());
        let ids =
            |set: &SubjectSet| doomed(set, &need(&["id"])).concat().into_iter().flatten().collect::<Vec<_>>();
        assert_eq!((ids(&set), ids(&other)), (vec!["2".into(), "1".into()], vec!["1".into(), "2".into()]));
        let kept = set.lines().map(|(need, lines)| (need.clone(), lines.to_vec())).collect();
        let back = SubjectSet::of_lines(kept).unwrap();
        assert_eq!(back.sums(), set.sums());
        assert_eq!(doomed(&back, &need(&["email"])), [[Some("B@x.io".to_owned())], [None]]);
        assert!(!back.known(&need(&["id"]), &mut |_| Ok(())).unwrap(), "rows that stay were not kept");
    }

    /// What entries are found by may be the same of two rows, in every column that was asked for.
    #[test]
    fn a_row_that_stays_counts_even_if_it_looks_like_one_that_leaves() {
        let email = need(&["email"]);
        let of = |leaving: &[&str], staying: &[&str]| {
            let mut set = SubjectSet::new(vec![email.clone()]);
            leaving.iter().for_each(|value| set.add(0, true, &[Some((*value).to_owned())]));
            staying.iter().for_each(|value| set.add(0, false, &[Some((*value).to_owned())]));
            set.seal();
            set
        };
        let kept =
            || SubjectSet::of_lines(vec![(email.clone(), vec![r#"["a@x"]"#.into(), r#"["b@x"]"#.into()])]);
        let shared = |now: SubjectSet| kept().unwrap().with_staying(now).shared(&email).unwrap();
        assert_eq!(shared(of(&["a@x", "b@x"], &["c@x"])), 0, "all are there, and leave");
        assert_eq!(shared(of(&["a@x"], &["b@x"])), 1, "one left, and somebody else has its address");
        assert_eq!(shared(of(&[], &[])), 0, "all are gone");
        let known = |now: SubjectSet| {
            let mut rows = 0;
            let mut count = |_: &[Option<&str>]| {
                rows += 1;
                Ok(())
            };
            kept().unwrap().with_staying(now).known(&email, &mut count).unwrap();
            rows
        };
        assert_eq!(
            known(of(&["a@x", "d@x"], &["c@x"])),
            3,
            "one that leaves without having been known is not one that stays"
        );
    }

    #[test]
    fn values_that_a_row_shares_with_one_that_stays_are_counted() {
        let set = set();
        assert_eq!(set.shared(&need(&["email"])).unwrap(), 1, "case makes no difference, nulls are nobody's");
        assert_eq!(set.shared(&need(&["id"])).unwrap(), 0);
        assert_eq!(set.shared(&need(&["id", "email"])).unwrap(), 0);
        assert!(set.shared(&need(&["phone"])).is_err());
    }
}

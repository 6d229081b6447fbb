//! Patterns: what is refused, what matches, and the matcher against a reading by brute force.

use super::walk::{self, Lengths};
use super::*;
use crate::port::derived::{Subjects, VisitSubject};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn key(text: &str) -> PatternSpec {
    PatternSpec::Key(text.to_owned())
}

fn member(key: &str, member: &str) -> PatternSpec {
    PatternSpec::Member(MemberSpec { key: key.to_owned(), member: member.to_owned() })
}

/// Rows of one table; the first ones are doomed.
struct Rows {
    columns: Vec<&'static str>,
    doomed: Vec<Vec<Option<String>>>,
    others: Option<Vec<Vec<Option<String>>>>,
}

fn rows(columns: &[&'static str], doomed: &[&[&str]], others: Option<&[&[&str]]>) -> Rows {
    let owned = |rows: &[&[&str]]| -> Vec<Vec<Option<String>>> {
        rows.iter().map(|row| row.iter().map(|value| Some((*value).to_owned())).collect()).collect()
    };
    Rows { columns: columns.to_vec(), doomed: owned(doomed), others: others.map(owned) }
}

impl Rows {
    fn visit(&self, need: &Need, row: &[Option<String>], visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        let column = |name: &String| self.columns.iter().position(|column| column == name).unwrap();
        let values: Vec<Option<&str>> =
            need.columns.iter().map(|name| row[column(name)].as_deref()).collect();
        visit(&values)
    }
}

impl Subjects for Rows {
    fn doomed(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        self.doomed.iter().try_for_each(|row| self.visit(need, row, visit))
    }

    fn known(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<bool, Fault> {
        let Some(others) = &self.others else { return Ok(false) };
        self.doomed.iter().chain(others).try_for_each(|row| self.visit(need, row, visit))?;
        Ok(true)
    }
}

#[track_caller]
fn assert_verdicts(specs: &[PatternSpec], rows: &Rows, expected: &[(&str, Verdict)]) {
    let mut matcher = PatternSet::compile(specs).unwrap().matcher(rows).unwrap();
    for (key, verdict) in expected {
        let found = match key.split_once('→') {
            None => matcher.key(key.as_bytes()).unwrap(),
            Some((key, member)) => matcher.member(key.as_bytes(), member.as_bytes()).unwrap(),
        };
        assert_eq!(wherever(found), *verdict, "{key}");
    }
}

fn doomed(pattern: usize) -> Verdict {
    Verdict::Doomed { pattern, place: 0 }
}

/// The verdict without the row's place.
fn wherever(verdict: Verdict) -> Verdict {
    if let Verdict::Doomed { pattern, .. } = verdict { doomed(pattern) } else { verdict }
}

#[test]
fn what_belongs_to_one_row_has_one_place_and_places_are_in_the_order_of_rows() {
    let specs = [key("t:{tenant.id}:*"), key("b:{tenant.name}"), key("u:{user.id}")];
    let rows =
        |others| rows(&["id", "name"], &[&["zz", "1"], &["aa", "2"], &["mm", "3"], &["aa", "2"]], others);
    let keys = ["t:zz:x", "b:1", "t:mm:x", "b:3", "t:aa:x", "b:2", "t:aa:y", "u:zz", "u:mm"];
    let places = |rows: &Rows| {
        let mut matcher = PatternSet::compile(&specs).unwrap().matcher(rows).unwrap();
        keys.map(|key| match matcher.key(key.as_bytes()).unwrap() {
            Verdict::Doomed { place, .. } => place,
            other @ (Verdict::Other | Verdict::Ambiguous(_) | Verdict::Orphan(_)) => {
                panic!("{key} is {other:?}")
            }
        })
    };
    assert_eq!(places(&rows(Some(&[&["no", "no"]]))), [0, 0, 2, 2, 3, 3, 3, 5, 7]);
    let unknown = places(&rows(None));
    assert_eq!(unknown[4], unknown[6], "of one row");
    assert!(unknown[0] != unknown[2] && unknown[2] != unknown[4] && unknown[0] != unknown[4]);
}

#[test]
fn keys_of_doomed_rows_are_found() {
    let specs = [
        key("tenant:{tenant.id}:*"),
        key("cache:branding:{tenant.subdomain}"),
        key("{tenant.subdomain|upper}.{tenant.id|md5}"),
        member("tenants:active", "{tenant.id}"),
        key(r"a\{\*\\{tenant.id}"),
    ];
    let rows = rows(&["id", "subdomain"], &[&["7", "qa"]], Some(&[&["70", "acme"]]));
    let expected = [
        ("tenant:7:", doomed(0)),
        ("tenant:7:a:b", doomed(0)),
        ("tenant:70:a", Verdict::Other),
        ("tenant:71:a", Verdict::Orphan(0)),
        ("tenant::7:", Verdict::Orphan(0)),
        ("tenant::", Verdict::Other),
        ("tenant:7", Verdict::Other),
        ("cache:branding:qa", doomed(1)),
        ("cache:branding:qa:x", Verdict::Orphan(1)),
        ("cache:branding:acme", Verdict::Other),
        ("tenants:active→7", doomed(3)),
        ("tenants:active→70", Verdict::Other),
        ("tenants:active→8", Verdict::Orphan(3)),
        ("tenants:activ→e7", Verdict::Other),
        ("tenants:active", Verdict::Other),
        (r"a{*\7", doomed(4)),
        ("b", Verdict::Other),
    ];
    assert_verdicts(&specs, &rows, &expected);
}

#[test]
fn several_fields_are_of_one_row() {
    let specs = [key("{u.tenant}:x:{u.email|lower}:{u.tenant}")];
    let rows = rows(&["tenant", "email"], &[&["first-tenant", "A@x"], &["other-tenant", "b@x"]], None);
    let expected = [
        ("first-tenant:x:a@x:first-tenant", doomed(0)),
        ("first-tenant:x:b@x:first-tenant", Verdict::Other),
        ("first-tenant:x:a@x:other-tenant", Verdict::Other),
    ];
    assert_verdicts(&specs, &rows, &expected);
}

#[test]
fn delimiters_within_values_are_read_in_every_way() {
    let specs = [key("t:{t.a}:{t.b}")];
    let only = rows(&["a", "b"], &[&["x:y", "z"]], None);
    assert_verdicts(&specs, &only, &[("t:x:y:z", doomed(0)), ("t:x:y", Verdict::Other)]);
    // The same key can be read as a row that stays.
    let both = rows(&["a", "b"], &[&["x:y", "z"]], Some(&[&["x", "y:z"]]));
    assert_verdicts(&specs, &both, &[("t:x:y:z", Verdict::Ambiguous(0))]);
    let wild = rows(&["id"], &[&["a"]], Some(&[&["a:b"]]));
    let expected = [("t:a:b:c", Verdict::Ambiguous(0)), ("t:a:c", doomed(0)), ("t:a:b", doomed(0))];
    assert_verdicts(&[key("t:{t.id}:*")], &wild, &expected);
}

#[test]
fn a_value_that_a_staying_row_has_too_is_not_doomed() {
    let specs = [key("user:map:{user.email|lower}")];
    let rows = rows(&["email"], &[&["Ann@x"], &["bob@x"], &["bob@x"]], Some(&[&["ann@x"]]));
    let expected = [("user:map:ann@x", Verdict::Ambiguous(0)), ("user:map:bob@x", doomed(0))];
    assert_verdicts(&specs, &rows, &expected);
}

#[test]
fn null_empty_and_short_values_match_nothing() {
    let specs = [key("tenant:{tenant.slug}:*"), key("{tenant.slug}:*"), key("h:{tenant.slug|sha256}")];
    let mut rows = rows(&["slug"], &[&[""], &["  "], &["cache"], &["long-enough"]], None);
    rows.doomed.push(vec![None]);
    let empty = "h:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let expected = [
        ("tenant::x", Verdict::Other),
        ("tenant:  :x", Verdict::Other),
        (":x", Verdict::Other),
        ("tenant:cache:x", doomed(0)),
        ("cache:x", Verdict::Other),
        ("long-enough:x", doomed(1)),
        (empty, Verdict::Other),
    ];
    assert_verdicts(&specs, &rows, &expected);
    let matcher = PatternSet::compile(&specs).unwrap().matcher(&rows).unwrap();
    // Three rows for each pattern, and `cache` for the one without a word of its own.
    assert_eq!(matcher.skipped(), 3 * 3 + 1);
}

#[test]
fn patterns_that_could_match_what_belongs_to_others_are_refused() {
    let cases = [
        (key("*"), "it names no row", 1),
        (key("cache:*"), "it names no row", 1),
        (key(""), "it is empty", 1),
        (key("{tenant.id}*"), "nothing stands between", 12),
        (key("ü*{tenant.id}"), "nothing stands between", 3),
        (key("{tenant.id}{tenant.slug}"), "nothing stands between", 12),
        (key("{tenant.id}:{user.id}"), "`user` and `tenant` are rows of two kinds", 14),
        (key("a:{tenant}"), "`tenant` is not an entity and a column", 4),
        (key("a:{tenant.id|base99}"), "`base99` is nothing", 4),
        (key("a:{tenant.id"), "a `{` without its `}`", 3),
        (key("a:tenant.id}"), "a `}` without its `{`", 12),
        (key("a\\"), "a `\\` stands at its end", 2),
        (member("tenants:active", "all"), "it names no row", 1),
        (member("t:{tenant.id}", "{user.id}"), "`user` and `tenant` are rows of two kinds", 2),
    ];
    for (spec, expected, place) in cases {
        let fault = PatternSet::compile(std::slice::from_ref(&spec)).unwrap_err();
        assert!(fault.message.contains(expected), "{spec}: {fault}");
        assert!(fault.message.ends_with(&format!("(character {place})")), "{spec}: {fault}");
        assert!(!fault.hint.is_empty(), "{spec}");
    }
}

#[test]
fn rows_of_an_entity_are_needed_once() {
    let specs = [key("a:{tenant.id}"), key("b:{tenant.slug}:{tenant.id}"), key("c:{public.users.id}")];
    let needs = PatternSet::compile(&specs).unwrap().needs();
    let need = |entity: &str, columns: &[&str]| Need {
        entity: entity.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
    };
    assert_eq!(needs, [need("tenant", &["id", "slug"]), need("public.users", &["id"])]);
}

#[test]
fn specifications_are_texts_or_tables() {
    let read = |text: &str| serde_json::from_str::<PatternSpec>(text);
    assert_eq!(read(r#""a:{t.id}""#).unwrap(), key("a:{t.id}"));
    assert_eq!(read(r#"{"key":"k","member":"{t.id}"}"#).unwrap(), member("k", "{t.id}"));
    assert!(read(r#"{"key":"k","members":"{t.id}"}"#).is_err());
}

#[test]
fn a_pattern_of_too_many_fields_is_refused() {
    let many = |fields: usize| key(&"{t.id}:".repeat(fields));
    assert!(PatternSet::compile(&[many(32)]).is_ok());
    let fault = PatternSet::compile(&[many(33)]).unwrap_err();
    assert!(fault.message.contains("more than 32 fields and stars (character 225)"), "{fault}");
}

#[test]
fn a_key_with_too_many_readings_is_refused() {
    let specs = [key("*:{t.a}:*:{t.b}:*:{t.c}:*")];
    let long: Vec<String> = (1..=60).map(|n| ":".repeat(n)).collect();
    let doomed: Vec<Vec<&str>> = long.iter().map(|value| vec![value.as_str(); 3]).collect();
    let doomed: Vec<&[&str]> = doomed.iter().map(Vec::as_slice).collect();
    // Colons alone are short for a pattern without a word; `w` makes them words.
    let rows = rows(&["a", "b", "c"], &doomed, None);
    let mut matcher = PatternSet::compile(&specs).unwrap().matcher(&rows).unwrap();
    let fault = matcher.key(":".repeat(400).as_bytes()).unwrap_err();
    assert!(fault.message.contains("in too many ways"), "{fault}");
}

struct Dice(u64);

impl Dice {
    fn up_to(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % u64::try_from(end).unwrap()).unwrap()
    }

    /// A text over very few letters, so that everything collides.
    fn text(&mut self, longest: usize) -> String {
        (0..self.up_to(longest + 1)).map(|_| [':', 'a', 'b'][self.up_to(3)]).collect()
    }

    fn pattern(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.up_to(5) {
            match self.up_to(5) {
                0 => text.push('*'),
                1 => text.push_str("{t.x}"),
                2 => text.push_str("{t.y}"),
                _ => text.push([':', 'a', 'b'][self.up_to(3)]),
            }
        }
        text
    }
}

/// Every pair of values of `x` and `y` with which the tokens make the text, found by trying every length everywhere.
fn by_force(pattern: &Pattern, text: &[u8], boundary: usize) -> BTreeSet<Vec<Vec<u8>>> {
    fn go(
        tokens: &[Token],
        (text, at, boundary): (&[u8], usize, usize),
        values: &mut Vec<Option<Vec<u8>>>,
        found: &mut BTreeSet<Vec<Vec<u8>>>,
    ) {
        let end = if tokens.contains(&Token::Boundary) { boundary } else { text.len() };
        let Some((token, rest)) = tokens.split_first() else {
            if at == text.len() {
                found.insert(values.iter().flatten().cloned().collect());
            }
            return;
        };
        match token {
            Token::Boundary if at == boundary => go(rest, (text, at, boundary), values, found),
            Token::Boundary => {}
            Token::Literal(literal) => {
                if text[at..end].starts_with(literal) {
                    go(rest, (text, at + literal.len(), boundary), values, found);
                }
            }
            Token::Any => (at..=end).for_each(|to| go(rest, (text, to, boundary), values, found)),
            Token::Field(number) => {
                for to in at + 1..=end {
                    let value = text[at..to].to_vec();
                    match values[*number].clone() {
                        Some(known) if known == value => go(rest, (text, to, boundary), values, found),
                        Some(_) => {}
                        None => {
                            values[*number] = Some(value);
                            go(rest, (text, to, boundary), values, found);
                            values[*number] = None;
                        }
                    }
                }
            }
        }
    }
    // Without a boundary, the whole text is the key.
    let mut found = BTreeSet::new();
    go(&pattern.tokens, (text, 0, boundary), &mut vec![None; pattern.fields.len()], &mut found);
    found
}

#[test]
fn every_reading_is_found_that_brute_force_finds() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut compiled, mut readings_found) = (0, 0);
    for _ in 0..6000 {
        let spec =
            if dice.up_to(4) == 0 { member(&dice.pattern(), &dice.pattern()) } else { key(&dice.pattern()) };
        let Ok(set) = PatternSet::compile(std::slice::from_ref(&spec)) else { continue };
        let pattern = &set.patterns[0];
        compiled += 1;
        for _ in 0..12 {
            let text = dice.text(9);
            let boundary = if pattern.has_member { dice.up_to(text.len() + 1) } else { text.len() };
            let expected = by_force(pattern, text.as_bytes(), boundary);
            let mut found = BTreeSet::new();
            walk::readings(
                pattern,
                (text.as_bytes(), boundary),
                &vec![Lengths::ANY; pattern.fields.len()],
                &mut |text, spans| {
                    found.insert(spans.iter().map(|(from, to)| text[*from..*to].to_vec()).collect());
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
            assert_eq!(found, expected, "{spec} on {text} at {boundary}");
            assert_eq!(
                walk::fits(pattern, text.as_bytes(), boundary).unwrap(),
                !expected.is_empty(),
                "{spec} on {text} at {boundary}"
            );
            if pattern.has_member && !expected.is_empty() {
                assert!(
                    walk::key_fits(pattern, &text.as_bytes()[..boundary]),
                    "{spec} on {text} at {boundary}"
                );
            }
            readings_found += expected.len();
        }
    }
    assert!(compiled > 1000 && readings_found > 2000, "{compiled} patterns, {readings_found} readings");
}

#[test]
fn verdicts_are_those_of_brute_force() {
    let mut dice = Dice(0x1234_5678_9ABC_DEF1);
    let mut seen = BTreeSet::new();
    for _ in 0..4000 {
        let Ok(set) = PatternSet::compile(&[key(&dice.pattern())]) else { continue };
        let pattern = &set.patterns[0];
        let mut some = |count: usize| -> Vec<Vec<Option<String>>> {
            (0..count).map(|_| vec![Some(dice.text(3)), Some(dice.text(3))]).collect()
        };
        let rows = Rows { columns: vec!["x", "y"], doomed: some(3), others: Some(some(3)) };
        let mut matcher = set.matcher(&rows).unwrap();
        for _ in 0..12 {
            let text = dice.text(8);
            let readings = by_force(pattern, text.as_bytes(), text.len());
            let tuple = |row: &Vec<Option<String>>| -> Option<Vec<Vec<u8>>> {
                let value = |f: &Field| row[usize::from(f.column == "y")].clone().map(String::into_bytes);
                let values: Option<Vec<Vec<u8>>> = pattern.fields.iter().map(value).collect();
                values.filter(|values| values.iter().all(|v| v.len() >= pattern.value_bytes_min))
            };
            let among =
                |rows: &[Vec<Option<String>>]| rows.iter().filter_map(tuple).any(|t| readings.contains(&t));
            let expected = match (among(&rows.doomed), among(rows.others.as_ref().unwrap())) {
                (true, true) => Verdict::Ambiguous(0),
                (true, false) => doomed(0),
                (false, true) => Verdict::Other,
                (false, false) if readings.is_empty() => Verdict::Other,
                (false, false) => Verdict::Orphan(0),
            };
            assert_eq!(
                wherever(matcher.key(text.as_bytes()).unwrap()),
                expected,
                "{} on {text}",
                pattern.name
            );
            seen.insert(format!("{expected:?}"));
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

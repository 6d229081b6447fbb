//! What the chain, its anchors and its checkpoints find, on plain values.

use super::*;

fn entry(n: u64) -> AuditEntry {
    let text = |kind: &str| format!("{kind} {n}");
    AuditEntry {
        at: text("at"),
        actor: "dana".to_owned(),
        action: "purge.batch".to_owned(),
        object: text("object"),
        outcome: "committed".to_owned(),
    }
}

fn chain(numbers: impl Iterator<Item = u64>) -> Vec<Record> {
    let mut hash = String::new();
    numbers
        .zip(1..)
        .map(|(n, sequence)| {
            hash = chained(&hash, &entry(n));
            Record { sequence, entry: entry(n), hash: hash.clone() }
        })
        .collect()
}

fn log() -> Vec<Record> {
    chain(1..=6)
}

fn links(log: &[Record]) -> Option<Vec<Link>> {
    Some(log.iter().map(|r| Link { sequence: r.sequence, hash: r.hash.clone() }).collect())
}

fn examined(log: &[Record], evidence: Evidence) -> Examination {
    let mut examiner = Examiner::new(evidence);
    log.iter().for_each(|record| examiner.look(record));
    examiner.finish()
}

fn found(log: &[Record], evidence: Evidence) -> Vec<&'static str> {
    examined(log, evidence).findings.iter().map(|finding| finding.id).collect()
}

fn anchored(log: &[Record]) -> Evidence {
    Evidence { anchor: Some("a".to_owned()), anchors: links(log), ..Evidence::default() }
}

fn signed(record: &Record) -> Evidence {
    let link = Some(Link { sequence: record.sequence, hash: record.hash.clone() });
    let checkpoints = vec![CheckedCheckpoint { link, signer: Ok("kim".to_owned()) }];
    Evidence { checkpoints, ..Evidence::default() }
}

#[test]
fn a_whole_log_is_intact_and_says_how_far_it_is_confirmed() {
    let log = log();
    let both = Evidence { anchors: links(&log[..5]), issued: 6, ..signed(&log[3]) };
    let found = examined(&log, both);
    assert!(found.is_intact(), "{found:?}");
    assert_eq!((found.entries, found.anchored, found.signed), (6, Some(5), Some((4, "kim".to_owned()))));
    assert!(examined(&[], Evidence::default()).is_intact());
}

#[test]
fn edits_moves_insertions_and_gaps_break_the_chain() {
    let mut edited = log();
    edited[2].entry.actor = "eve".to_owned();
    assert_eq!(found(&edited, Evidence::default()), ["chain"]);
    let mut moved = log();
    moved.swap(2, 3);
    (moved[2].sequence, moved[3].sequence) = (3, 4);
    assert!(found(&moved, Evidence::default()).contains(&"chain"));
    let mut inserted = log();
    let more = Record { sequence: 4, entry: entry(9), hash: chained(&inserted[2].hash, &entry(9)) };
    inserted.insert(3, more);
    for (record, sequence) in inserted.iter_mut().zip(1..) {
        record.sequence = sequence;
    }
    assert_eq!(found(&inserted, Evidence::default()), ["chain"], "what follows does not fit any more");
    let mut gap = log();
    gap.remove(2);
    assert_eq!(found(&gap, Evidence::default()), ["gap"]);
    assert_eq!(examined(&gap, Evidence::default()).findings[0].says, "entry 3 is missing");
    let mut beheaded = log();
    beheaded.drain(..2);
    assert_eq!(examined(&beheaded, Evidence::default()).findings[0].says, "entries 1 to 2 are missing");
}

#[test]
fn a_log_that_was_written_anew_contradicts_anchor_and_checkpoint() {
    let anew = chain([1, 2, 9, 4, 5, 6].into_iter());
    assert!(found(&anew, Evidence::default()).is_empty(), "the chain alone cannot tell");
    assert_eq!(found(&anew, anchored(&log())), ["anchor"; 4]);
    assert_eq!(found(&anew, signed(&log()[4])), ["checkpoint"]);
    assert!(found(&anew, signed(&log()[1])).is_empty(), "signed before the change");
}

#[test]
fn a_cut_end_and_a_removed_log_are_found_by_anchor_checkpoint_or_count() {
    let log = log();
    for rest in [&log[..4], &[]] {
        assert_eq!(found(rest, anchored(&log)), ["cut"]);
        assert_eq!(found(rest, signed(&log[5])), ["checkpoint"]);
        assert_eq!(found(rest, Evidence { issued: 6, ..Evidence::default() }), ["cut"]);
    }
    let runs = vec!["r-1".to_owned()];
    assert_eq!(found(&[], Evidence { runs, ..Evidence::default() }), ["run"]);
}

#[test]
fn a_run_that_never_began_is_told_by_the_plan_it_used() {
    let used = AuditEntry {
        action: "purge.plan".to_owned(),
        outcome: used_by("r-1", "confirmed by its id"),
        ..entry(1)
    };
    let log = [Record { sequence: 1, hash: chained("", &used), entry: used }];
    for (run, findings) in [("r-1", &[][..]), ("r-12", &["run"]), ("r-2", &["run"])] {
        let evidence = Evidence { runs: vec![run.to_owned()], ..Evidence::default() };
        assert_eq!(found(&log, evidence), findings, "{run}");
    }
}

#[test]
fn an_anchor_that_forks_is_lost_or_cannot_be_read_is_found() {
    let mut log = log();
    let mut fork = anchored(&log);
    fork.anchors.as_mut().unwrap().push(Link { sequence: 3, hash: "other".to_owned() });
    assert_eq!(found(&log, fork), ["anchor"]);
    log = Vec::new();
    for (n, sequence) in [(1, 1), (1, 2)] {
        let begun = AuditEntry { action: ANCHOR_ACTION.to_owned(), object: "a".to_owned(), ..entry(n) };
        let hash = chained(log.last().map_or("", |r: &Record| &r.hash), &begun);
        log.push(Record { sequence, entry: begun, hash });
    }
    assert_eq!(found(&log, anchored(&log[1..])), ["anchor-lost"], "begun twice");
    let missing = Evidence { anchor: Some("a".to_owned()), ..Evidence::default() };
    assert_eq!(found(&log[..1], missing), ["anchor-lost"]);
    assert_eq!(found(&[], Evidence { broken_anchors: 1, ..Evidence::default() }), ["anchor-broken"]);
}

#[test]
fn a_checkpoint_that_nobody_listed_signed_does_not_count() {
    let log = log();
    let mut foreign = signed(&log[2]);
    foreign.checkpoints[0].signer = Err("its key is not in the list of signers".to_owned());
    assert_eq!(found(&log, foreign), ["checkpoint"]);
    let formless = vec![CheckedCheckpoint { link: None, signer: Ok("kim".to_owned()) }];
    assert_eq!(found(&log, Evidence { checkpoints: formless, ..Evidence::default() }), ["checkpoint"]);
}

#[test]
fn a_checkpoint_is_read_back_from_exactly_its_text() {
    let link = Link { sequence: 7, hash: "ab".to_owned() };
    let text = checkpoint_text(&link, "2026-11-21T07:43:23Z");
    assert_eq!(checkpoint_link(&text), Some(link));
    for other in
        [text.replace("sequence: 7", "sequence: 07"), format!("{text}\n"), text.replace(" 1\n", " 2\n")]
    {
        assert_eq!(checkpoint_link(&other), None, "{other:?}");
    }
}

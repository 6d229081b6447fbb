//! What is compared with what, and which ratio is good enough.

use crate::bench::figures::Figures;
use crate::bench::targets::{Compared, Limited, Section, compared, limited};

const DELETE: &str = "one DELETE";
const PT_FILE: &str = "pt-archiver with a file";

const REMOVAL: [Compared<'_>; 9] = [
    ("one DELETE, one transaction, no archive", &["delete"], DELETE, &["delete"], None),
    ("a DELETE per 5,000 keys, a commit each, no archive", &["ranges"], DELETE, &["delete"], None),
    ("pt-archiver --bulk-delete --purge, no archive", &["pt"], DELETE, &["delete"], None),
    ("pt-archiver --bulk-delete --file", &["pt_file"], DELETE, &["delete"], None),
    (
        "**unseed**: removal in batches, with the proof of each",
        &["unseed.remove"],
        DELETE,
        &["delete"],
        Some(1.7),
    ),
    ("**unseed**: purge, with an archive", &["unseed.purge"], PT_FILE, &["pt_file"], Some(0.6)),
    (
        "unseed: whole run (plan, archive, remove, verify)",
        &["unseed.plan", "unseed.purge", "unseed.verify"],
        PT_FILE,
        &["pt_file"],
        None,
    ),
    ("", &["unseed.plan", "unseed.purge", "unseed.verify"], DELETE, &["delete"], None),
    ("unseed: restore everything", &["unseed.restore"], DELETE, &["delete"], None),
];

const WHERE: [Limited<'_>; 9] = [
    ("rows removed", &["unseed.rows"], "", None),
    ("batches", &["unseed.batches"], "", None),
    ("plan", &["unseed.plan"], " s", None),
    ("purge, looks before", &["unseed.prepare"], " s", None),
    ("purge, closure", &["unseed.close"], " s", None),
    ("purge, archive", &["unseed.archive"], " s", None),
    ("purge, removal", &["unseed.remove"], " s", None),
    ("purge, looks after", &["unseed.finish"], " s", None),
    ("verify", &["unseed.verify"], " s", None),
];

const LIMITS: [Limited<'_>; 4] = [
    ("longest transaction that holds locks", &["unseed.longest"], " s", Some(0.5)),
    (
        "statements of a purge without those that only archive",
        &["unseed.statements.not_archive"],
        "",
        Some(500.0),
    ),
    ("memory of purge", &["unseed.purge.mib"], " MiB", Some(200.0)),
    ("memory of restore", &["unseed.restore.mib"], " MiB", Some(200.0)),
];

/// All tables; what was not measured has no line.
pub(super) fn compare(figures: &Figures) -> Vec<Section> {
    vec![
        Section { title: "Removal", lines: compared(figures, &REMOVAL) },
        Section {
            title: "Limits (the worst of all rounds)",
            lines: limited(figures, &LIMITS, Figures::highest),
        },
        Section { title: "Where the time goes (medians)", lines: limited(figures, &WHERE, Figures::median) },
    ]
}

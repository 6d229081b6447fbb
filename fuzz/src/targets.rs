//! Everything that reads bytes from outside, with good inputs to start from.
//!
//! A parser may refuse an input; it may not panic, and where it has an invariant that is cheap to see, it is seen.

use std::sync::Arc;
use unseed::classify::output::{Output, Style};
use unseed::classify::{self, Form, Options};
use unseed_core::archive::{BatchManifest, Manifest, Tombstone};
use unseed_core::config::Config;
use unseed_core::detect::{Context, Examiner, Record, Rules, Thresholds, time};
use unseed_core::entity::Entity;
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::pattern::{MemberSpec, PatternSet, PatternSpec};
use unseed_core::plan::Plan;
use unseed_core::port::derived::{Need, Subjects, VisitSubject};
use unseed_core::{address, detect};
use unseed_io::archive;
use unseed_io::store::{postgres_parsing, redis_parsing};

/// One parser.
pub(crate) struct Target {
    pub name: &'static str,
    pub read: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "classify-csv", read: csv, seeds: csv_seeds },
    Target { name: "classify-json", read: ndjson, seeds: ndjson_seeds },
    Target { name: "times", read: times, seeds: time_seeds },
    Target { name: "fields", read: fields, seeds: field_seeds },
    Target { name: "config", read: config, seeds: config_seeds },
    Target { name: "addresses", read: addresses, seeds: address_seeds },
    Target { name: "plan", read: plan, seeds: plan_seeds },
    Target { name: "report", read: report, seeds: report_seeds },
    Target { name: "manifest", read: manifest, seeds: manifest_seeds },
    Target { name: "segment", read: segment, seeds: segment_seeds },
    Target { name: "copy-rows", read: copy_rows, seeds: copy_seeds },
    Target { name: "redis-payload", read: redis_payload, seeds: payload_seeds },
    Target { name: "redis-lines", read: redis_lines, seeds: line_seeds },
    Target { name: "patterns", read: patterns, seeds: pattern_seeds },
    Target { name: "arguments", read: arguments, seeds: argument_seeds },
];

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn judged(input: &[u8], form: Option<Form>) {
    let options = Options {
        form,
        kind: Entity::User,
        thresholds: Thresholds::default(),
        rules: Arc::new(Rules::default()),
    };
    let mut written = Vec::new();
    let mut output = Output::new(&mut written, Style::Programs);
    let done = classify::run(input, &options, &mut output);
    output.flush();
    drop(output);
    // Whatever was read, what is told of it is JSON, one object a line.
    let text = std::str::from_utf8(&written).expect("the output is text");
    for line in text.lines().take(64) {
        drop(serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON"));
    }
    drop(done);
}

fn csv(input: &[u8]) {
    judged(input, Some(Form::Csv));
}

fn csv_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "kind,name,slug,email,phone,created_at\nuser,Maria Keller,,maria@keller.com,+49 30 1,2026-03-14\n",
        "name;email;is_test\n\"Smith; \"\"Joe\"\"\";a@b.c;true\r\nx;y;\n",
        "\u{feff}Name\tE-Mail\nTest Tenant 17\ttest@example.com\n",
        "first_name,last_name,last_login,livemode,legal_hold,address\nJo,Weber,1712345678,f,,1 Test Street\n",
    ])
}

fn ndjson(input: &[u8]) {
    judged(input, Some(Form::Ndjson));
    judged(input, None);
}

fn ndjson_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "{\"kind\":\"tenant\",\"name\":\"Test \\u00fc\",\"email\":\"test@example.com\",\"x\":[1,{\"a\":null}]}\n",
        "{\"name\":null,\"is_test\":true,\"created_at\":1712345678123,\"phone\":4915,\"slug\":{}}\n{}\n",
    ])
}

fn times(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(at) = time::parse(&text) {
        // Months and days of any time can be told.
        assert!(time::month_text(time::month(at)).contains('-') && time::day_text(at).contains('-'));
    }
}

fn time_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "2026-03-14 09:26:53.1+00",
        "2026-03-14T09:26:53.100Z",
        "2026-03-14 11:26:53+02:00",
        "1773480413",
        "1773480413100.5",
        "2026-03-14",
        "0001-01-01 00:00:00",
    ])
}

fn fields(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.split('\n');
    let mut next = || parts.next().unwrap_or("");
    let record = Record {
        name: next(),
        email: next(),
        phone: next(),
        slug: next(),
        username: next(),
        role: next(),
        address: next(),
        payment: next(),
        ..Record::new(Entity::User)
    };
    let mut examiner = Examiner::default();
    for entity in [Entity::User, Entity::Tenant] {
        let record = Record { entity, ..record };
        let weighed = examiner.weigh(&record, &Context::default()).score;
        let (told, _) = examiner.tell(&record, &Context::default());
        assert!(weighed == told && told.probability().is_finite(), "weighing and telling agree");
    }
    let classes = detect::domain::classes(&text.to_ascii_lowercase());
    assert!(!(classes.relay && classes.disposable), "a relay is no throw-away service");
}

fn field_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "Test Tenant 1712345678\ntest+e2e@mail.example.com\n+1 (555) 555-0100\ntest-tenant\nuser17\nadmin\n1 Test Street\ncs_test_1",
        "[TEST] Brennan Foods GmbH\n{{email}}\n001-581-896-0013x3890\n\n\n\n742 Evergreen Terrace Apt. 731\n4242 4242 4242 4242",
        "株式会社テスト\nasdf@asdf.co.uk\n00\nÄÖÜ-straße\nE2E3fa9c1\n\nMusterstraße 1\ntok_visa",
        "O’Neil, Kuhn and Sons - S.A.R.L.\nMaria.Keller43@hotmail.com\n",
    ])
}

fn config(input: &[u8]) {
    drop(Config::parse(&String::from_utf8_lossy(input), "unseed.toml"));
}

fn config_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "[stores.main]\nurl = \"postgres://app@localhost/app\"\n[limits]\nmax_rows = 10\n[protect]\n\"tenants.id\" = [1, \"a\"]\n",
        "[detect]\ntest = 0.9\n[detect.weights]\n\"created.burst\" = { tenant = 1, user = 0 }\n[[detect.rules]]\nid = \"a\"\nfield = \"email\"\npattern = [\"*@x\"]\nweight = 7\n[detect.allow]\ntenant.name = \"Test*\"\n",
        "[[references]]\nfrom = \"a.b\"\nto = \"c.d\"\non_remove = \"delete\"\nwhen = { t = \"x\" }\n[entities.tenant]\ntable = \"orgs\"\nname = \"title\"\n[approval]\nrequired = 0\n",
        "[limits]\nmax_rows = {{},a={{},b=[{}]}}\n",
    ])
}

fn addresses(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let shown = address::redacted(&text);
    assert!(
        !address::has_password(&shown) || address::is_masked(&shown),
        "`{text}` shows its password: `{shown}`"
    );
    drop(postgres_parsing::location(&text).map_err(|fault: Fault| fault.message));
    drop(redis_parsing::location(&text).map_err(|fault: Fault| fault.message));
}

fn address_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "postgres://app:secret@db.example.com:5432/app?sslmode=verify-full&sslrootcert=%2Fca.pem",
        "postgresql://app@[::1]:5432/app?password=secret&host=/run/postgresql",
        "host=localhost user=app password='a b' dbname=app",
        "sqlite:/tmp/app.db?mode=ro",
        "mysql://u:p%40@h/d",
        "./app.db",
    ])
}

fn plan(input: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<Plan>(input) else { return };
    let intact = plan.is_intact();
    // Lines that are no keys are refused as a missing file is.
    let loaded = WholePlan::load(plan, &mut |name, take| {
        take(input)?;
        Err(Fault::refused(format!("no key file `{name}`")))
    });
    assert!(intact || loaded.is_err(), "an altered plan is refused");
}

fn plan_seeds() -> Vec<Vec<u8>> {
    texts(&[PLAN, "{\"format\":\"unseed.plan/1\",\"digest\":\"blake3:00\",\"roots\":[],\"store\":{}}"])
}

const PLAN: &str = include_str!("../seeds/plan.json");

fn report(input: &[u8]) {
    let tables = unseed::cli::parsing::report(input);
    assert!(tables.unwrap_or(0) <= input.len(), "findings come from somewhere");
}

fn report_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "{\"format\":\"unseed.scan/1\",\"store\":\"main\",\"complete\":true,\"tables\":[],\"findings\":[{\"table\":\"public.tenants\",\"key\":{\"id\":\"17\"},\"label\":\"Test\",\"score\":0.99,\"verdict\":\"test\",\"signals\":[]},{\"table\":\"t\",\"key\":{\"a\":\"1\",\"b\":\"2\"},\"verdict\":\"suspect\"}]}",
    ])
}

fn manifest(input: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<BatchManifest>(input) {
        let written = serde_json::to_vec(&read).expect("a manifest is plain data");
        assert!(serde_json::from_slice::<BatchManifest>(&written).is_ok_and(|again| again == read));
    }
    drop(serde_json::from_slice::<Manifest>(input));
    drop(serde_json::from_slice::<Tombstone>(input));
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    texts(&[include_str!("../seeds/batch.json"), include_str!("../seeds/manifest.json")])
}

fn segment(input: &[u8]) {
    drop(archive::unpacked_bytes(input));
}

fn segment_seeds() -> Vec<Vec<u8>> {
    let rows = "17\tTest Tenant\t\\N\n".repeat(400);
    vec![archive::packed(b"1\ta\n"), archive::packed(rows.as_bytes()), archive::packed(b"")]
}

/// Rows may be cut into chunks anywhere.
fn copy_rows(input: &[u8]) {
    let rows = |chunk_bytes: usize| {
        let (mut rows, mut state) = (0_u64, 0_u64);
        let is_whole = postgres_parsing::copy_rows(input, chunk_bytes, &mut |row| {
            rows += 1;
            for value in row {
                let bytes = value.unwrap_or("\0null").bytes();
                state = bytes.fold(state ^ 0x55, |s, b| (s ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            }
        });
        is_whole.then_some((rows, state))
    };
    assert_eq!(rows(input.len()), rows(7), "the cuts of the stream changed the rows");
}

fn copy_seeds() -> Vec<Vec<u8>> {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".as_slice();
    let full = b"\0\x07\0\0\0\x03\xc3\xbcx\0\0\0\x04\xff\xff\xff\xfe\0\0\0\x01\x01\0\0\0\x100123456789abcdef\0\0\0\x04\0\0\x1f\x40\0\0\0\x08\0\x02\xd2\xc4\x7d\x91\xa9\x28\0\0\0\x08\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice();
    let nulls = [b"\0\x07".as_slice(), &[255; 28]].concat();
    let end = [255, 255].as_slice();
    vec![
        [header, end].concat(),
        [header, full, &nulls, full, end].concat(),
        [header, &nulls, b"\0\x07\0\0\0\x02\xff\xfe\0\0\0\0", &[255; 20], end].concat(),
        [header, full].concat(),
    ]
}

fn redis_payload(input: &[u8]) {
    redis_parsing::payload(input);
}

fn payload_seeds() -> Vec<Vec<u8>> {
    let bodies: [&[u8]; 7] = [
        &[0, 0xc3, 5, 10, 0, b'a', 0xe0, 0, 0],
        &[0, 0xc1, 0, 0x80],
        &[11, 12, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xfe, 0xff],
        &[20, 15, 15, 0, 0, 0, 2, 0, 0x81, b'a', 2, 5, 1, 0xdf, 0xff, 2, 0xff],
        &[10, 16, 16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, b'a', 3, 0xf3, 0xff],
        &[5, 1, 1, b'm', 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
        &[18, 1, 1, 3, b'a', b'b', b'c'],
    ];
    bodies.map(|body| [body, &[10, 0, 1, 2, 3, 4, 5, 6, 7, 8]].concat()).into()
}

fn redis_lines(input: &[u8]) {
    for are_members in [false, true] {
        let read = |piece_bytes| redis_parsing::archived(input, piece_bytes, are_members);
        assert_eq!(read(input.len()), read(7), "the cuts of the text changed the lines");
    }
}

fn line_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "\"k\"\tset\t1700000000000\t\"\\x00\\x7c\"\t\"SADD\" \"k\" \"a\" | \"SADD\" \"k\" \"b\"\n",
        "\"k\"\thash\t\t\"f\"\t\"v\\\"\"\n\"k\"\tzset\t5\t\"\"\t\"1.5\"\n",
    ])
}

/// Two tenants, of which the first is doomed.
struct Tenants;

impl Subjects for Tenants {
    fn doomed(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        visit(&vec![Some("a:long-value"); need.columns.len()])
    }

    fn known(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<bool, Fault> {
        self.doomed(need, visit)?;
        visit(&vec![Some("b"); need.columns.len()])?;
        Ok(true)
    }
}

/// The first line is a pattern, the second one of a member; the others are keys.
fn patterns(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let (key, member) = (lines.next().unwrap_or("").to_owned(), lines.next().unwrap_or("").to_owned());
    let shared = PatternSpec::Member(MemberSpec { key: key.clone(), member });
    for spec in [PatternSpec::Key(key), shared] {
        let Ok(set) = PatternSet::compile(&[spec]) else { continue };
        let mut matcher = set.matcher(&Tenants).expect("visiting tenants does not fail");
        for line in lines.clone() {
            drop(matcher.key(line.as_bytes()).map_err(|fault| fault.message));
            drop(matcher.member(line.as_bytes(), line.as_bytes()).map_err(|fault| fault.message));
            set.opens(line.as_bytes());
        }
    }
}

fn pattern_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "tenant:{tenant.id}:*\n{tenant.id}\ntenant:a:long-value:x\ntenant:b:",
        "*:{t.a|lower}-{t.b|sha256}:{t.a|lower}\n\\*{t.b|urlencode}:*\nx:a:long-value-b:a:long-value",
    ])
}

fn arguments(input: &[u8]) {
    unseed::cli::parsing::arguments(&String::from_utf8_lossy(input));
}

fn argument_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "tenants: name LIKE 'Test%'",
        "tenants.id=1,2,a b",
        "public.users:17,a",
        "audit_logs.tenant_id -> tenants.id delete",
        "1\n2\tb\r\n\n",
    ])
}

//! Whole scans over a store in memory: what the graph, bursts, series and payments add to single rows.

use super::tape::tests::Memory;
use super::*;
use async_trait::async_trait;
use std::collections::BTreeMap;
use unseed_core::port::progress::Silent;
use unseed_core::port::scan::{RowBlock, Take, Tally, TallyRequest, VisitTally};
use unseed_core::schema::{Column, ColumnIndex, ColumnKind, Part, Table, TableId, TableName};

type Rows = Vec<Vec<Option<String>>>;

/// Tables as vectors; what a store does with SQL is done with loops.
#[derive(Default)]
struct MemSource {
    schema: Schema,
    rows: BTreeMap<TableId, Rows>,
}

impl MemSource {
    /// Adds a table; its first column is the key, and cells that read `~` are null.
    fn table(mut self, name: &str, columns: &[(&str, ColumnKind)], rows: &[String]) -> Self {
        let column = |(name, kind): &(&str, ColumnKind)| Column {
            name: (*name).to_owned(),
            type_name: if *kind == ColumnKind::Time { "timestamp" } else { "text" }.to_owned(),
            kind: *kind,
            nullable: true,
            generated: false,
            identity: None,
            sequence: None,
            default: None,
        };
        let name = TableName::new("main", name);
        let cell = |text: &str| (text != "~").then(|| text.to_owned());
        let rows = rows.iter().map(|row| row.split('|').map(cell).collect()).collect();
        self.rows.insert(TableId(self.schema.tables.len()), rows);
        self.schema.tables.push(Table {
            columns: columns.iter().map(column).collect(),
            keys: vec![vec![0]],
            has_primary_key: true,
            parts: vec![Part { name: name.clone(), handle: 0 }],
            partitioned: false,
            checks: Vec::new(),
            effects: Vec::new(),
            visibility: Visibility::Full,
            rows_estimate: 0,
            name,
        });
        self
    }

    async fn scan(&mut self) -> Result<Report, Fault> {
        let schema = self.schema.clone();
        scan(self, &schema, &Options::default(), Arc::new(Memory), &Silent).await?.whole()
    }
}

#[async_trait]
impl ScanSource for MemSource {
    async fn read(
        &mut self,
        _schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        // Few rows a block, so that several weighers have something to do.
        for rows in self.rows[&table].chunks(7) {
            let mut block = RowBlock::new(columns.len());
            rows.iter().for_each(|row| columns.iter().for_each(|c| block.push(row[*c].as_deref())));
            if take(Box::new(block)).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn tally(
        &mut self,
        _schema: &Schema,
        request: &TallyRequest,
        visit: &mut VisitTally<'_>,
    ) -> Result<u64, Fault> {
        let mut groups: BTreeMap<Option<String>, (u64, u64)> = BTreeMap::new();
        for row in &self.rows[&request.table] {
            let id = request.paid.external_id.and_then(|c| row[c].clone()).unwrap_or_default();
            let group = groups.entry(row[request.by[0]].clone()).or_default();
            group.0 += 1;
            group.1 += u64::from(id.contains("_test_"));
        }
        let mut counted = 0;
        for (key, (rows, marked)) in &groups {
            let key = [key.as_deref()];
            let paid = if request.paid.external_id.is_some() { rows - marked } else { 0 };
            visit(&Tally {
                key: &key,
                rows: *rows,
                marked: *marked,
                paid,
                days: 0,
                hours: 0,
                first: None,
                last: None,
            });
            counted += rows;
        }
        Ok(counted)
    }
}

use ColumnKind::{Text, Time};
const TENANTS: &[(&str, ColumnKind)] =
    &[("id", Text), ("name", Text), ("subdomain", Text), ("email", Text), ("created_at", Time)];
const USERS: &[(&str, ColumnKind)] = &[
    ("id", Text),
    ("tenant_id", Text),
    ("name", Text),
    ("email", Text),
    ("created_at", Time),
    ("last_login", Time),
];
const PAYMENTS: &[(&str, ColumnKind)] =
    &[("id", Text), ("user_id", Text), ("stripe_id", Text), ("created_at", Time)];

fn lines(list: &[&str]) -> Vec<String> {
    list.iter().map(|line| (*line).to_owned()).collect()
}

fn verdict(report: &Report, label: &str) -> Verdict {
    report.findings.iter().find(|f| &*f.label == label).map_or(Verdict::Real, |f| f.verdict)
}

#[tokio::test]
async fn a_tenant_is_judged_by_its_users_and_a_user_by_its_tenant() {
    let mut source = MemSource::default()
        .table(
            "tenants",
            TENANTS,
            &lines(&[
                "1|Harbor Foods|harbor-1|a1b2c3d4@yopmail.com|2026-01-01 10:00:00",
                "2|Demopolis Foods|demopolis|it@demopolisfoods.com|2025-01-01 10:00:00",
                "3|Load Test 000123|loadtest-000123|load@example.org|2026-01-01 10:00:00",
            ]),
        )
        .table(
            "users",
            USERS,
            &lines(&[
                "11|1|Test User|test1@yopmail.com|2026-01-01 10:00:00|~",
                "12|1|QA Bot|qa2.f00d@yopmail.com|2026-01-01 10:00:01|~",
                "21|2|Maria Demo|maria@demopolisfoods.com|2025-01-01 10:00:00|2026-01-01 09:00:00",
                "22|2|Tom Tester|tom@demopolisfoods.com|2025-01-02 10:00:00|2026-01-02 09:00:00",
                "31|3|Sofia Moreau|sofia@load.example|2026-01-01 10:00:00|~",
            ]),
        );
    let report = source.scan().await.unwrap();
    assert_eq!(verdict(&report, "Harbor Foods"), Verdict::Test);
    assert_eq!(verdict(&report, "Demopolis Foods"), Verdict::Real);
    assert_eq!(verdict(&report, "Sofia Moreau"), Verdict::Test);
    assert_eq!(verdict(&report, "Maria Demo"), Verdict::Real);
    let counts: Vec<(u64, u64)> = report.tables.iter().map(|t| (t.rows, t.test)).collect();
    assert_eq!(counts, [(3, 2), (5, 3)]);
}

/// A hundred demo users of one second among people who pay, as a seed script leaves them.
fn dashboard() -> MemSource {
    let demo = (1..=100).map(|i| {
        let mail =
            if i % 10 == 0 { format!("visitor{i}@mailinator.com") } else { format!("demo{i}@example.com") };
        let name = if i % 7 == 0 { "Jane Smith".to_owned() } else { format!("Demo User {i}") };
        format!("d{i}|~|{name}|{mail}|2026-03-14 09:26:53.{i:03}|~")
    });
    let real = (1..=40).map(|i| {
        let (month, day) = (1 + i % 9, 1 + i % 28);
        format!(
            "r{i}|~|Customer {i}|joel{i}@gmail.com|2025-0{month}-{day:02} 08:0{month}:11|2026-08-20 10:00:00"
        )
    });
    let users: Vec<String> = demo
        .chain(real)
        .chain(lines(&["a|~|Site Admin|root@fieldops.app|2024-11-02 08:00:00|2026-08-30 07:12:00"]))
        .collect();
    let payment = |user: &String| {
        let id = user.split('|').next().unwrap_or_default();
        let kind = if id.starts_with('d') { "pi_test_" } else { "pi_" };
        (1..=3).map(|n| format!("p{id}{n}|{id}|{kind}{id}{n}|2026-03-14 09:26:53")).collect::<Vec<_>>()
    };
    let payments: Vec<String> = users.iter().flat_map(payment).collect();
    MemSource::default().table("users", USERS, &users).table("payments", PAYMENTS, &payments)
}

#[tokio::test]
async fn a_burst_of_demo_users_is_found_and_nobody_else() {
    let report = dashboard().scan().await.unwrap();
    let test: Vec<&str> = report.test_findings().map(|f| f.key.pairs().next().unwrap().1).collect();
    assert_eq!(test.len(), 100);
    assert!(test.iter().all(|id| id.starts_with('d')));
    let payments = report.tables.iter().find(|t| t.entity == Entity::Payment).unwrap();
    assert_eq!((payments.rows, payments.test), (423, 300));
    assert_eq!(report.since.map(|s| s.last - s.first), Some(0));
    let burst = report.findings[0].signals.iter().find(|s| s.id == "created.burst").unwrap();
    assert_eq!(burst.says, "created in the same second as 99 other rows");
}

#[tokio::test]
async fn the_same_scan_twice_gives_the_same_report() {
    assert_eq!(dashboard().scan().await.unwrap(), dashboard().scan().await.unwrap());
}

#[tokio::test]
async fn counts_are_the_same_whether_all_findings_are_wanted_or_samples() {
    let mut tenants = lines(&["1|Harbor Foods|harbor-1|a1b2c3d4@yopmail.com|2026-01-01 10:00:00"]);
    let mut users = Vec::new();
    for n in 2..60 {
        tenants.push(format!("{n}|Test Tenant {n}|test-{n}|e2e@test.com|2026-01-01 10:00:0{}", n % 3));
        users.push(format!("u{n}|{n}|Test User {n}|test{n}@example.com|2026-02-0{} 10:00:00|~", n % 3 + 1));
        users.push(format!("v{n}|{n}|Maria Okafor|maria{n}@brennan.com|2026-02-03 10:0{}:00|~", n % 9));
        users.push(format!("w{n}|{n}00|Test User|test@example.com|2026-02-03 11:00:00|~"));
    }
    let mut source = MemSource::default().table("tenants", TENANTS, &tenants).table("users", USERS, &users);
    let schema = source.schema.clone();
    let mut reports = Vec::new();
    for wanted in [Wanted::Findings, Wanted::Samples] {
        let options = Options { wanted, ..Options::default() };
        reports.push(scan(&mut source, &schema, &options, Arc::new(Memory), &Silent).await.unwrap().report);
    }
    assert_eq!(reports[0].tables, reports[1].tables);
    assert_eq!(reports[0].signals, reports[1].signals);
    assert_eq!((&reports[0].timeline, reports[0].since), (&reports[1].timeline, reports[1].since));
    let told = |report: &Report| report.signals.iter().map(|s| s.id).collect::<Vec<_>>();
    for late in ["created.burst", "series.numbered", "graph.users", "graph.tenant", "graph.orphan"] {
        assert!(told(&reports[1]).contains(&late), "{late}: {:?}", told(&reports[1]));
    }
    assert!(!reports[1].samples.is_empty());
}

#[tokio::test]
async fn users_whose_tenant_is_gone_are_counted_and_suspect() {
    let mut source = MemSource::default()
        .table("tenants", TENANTS, &lines(&["1|Brennan|brennan|it@brennan.com|2025-01-01 10:00:00"]))
        .table(
            "users",
            USERS,
            &lines(&[
                "11|1|Maria Okafor|maria@brennan.com|2025-01-01 10:00:00|~",
                "12|7|Tom Novak|tom@gone.com|2025-01-01 10:00:00|~",
            ]),
        );
    let report = source.scan().await.unwrap();
    assert_eq!(report.orphans.len(), 1);
    assert_eq!((report.orphans[0].rows, report.orphans[0].column.as_str()), (1, "tenant_id"));
    assert_eq!(verdict(&report, "Tom Novak"), Verdict::Suspect);
    assert_eq!(verdict(&report, "Maria Okafor"), Verdict::Real);
}

#[tokio::test]
async fn users_of_a_membership_table_speak_for_their_tenant() {
    let users: Vec<String> =
        (1..5).map(|n| format!("u{n}|Test User {n}|test{n}@example.com|2026-01-01 10:00:0{n}")).collect();
    let mut source = MemSource::default()
        .table("tenants", TENANTS, &lines(&["1|Harbor Foods|harbor-1|x@yopmail.com|2026-01-01 10:00:00"]))
        .table("users", &[("id", Text), ("name", Text), ("email", Text), ("created_at", Time)], &users)
        .table("memberships", &[("user_id", Text), ("tenant_id", Text)], &lines(&["u1|1", "u2|1", "u3|1"]));
    let report = source.scan().await.unwrap();
    assert_eq!(verdict(&report, "Harbor Foods"), Verdict::Test);
    let tenant = report.findings.iter().find(|f| &*f.label == "Harbor Foods").unwrap();
    assert!(tenant.signals.iter().any(|s| s.says == "3 of its 3 users look like test data"), "{tenant:?}");
}

#[tokio::test]
async fn a_partial_view_is_refused_with_the_names_of_the_tables() {
    let mut source = dashboard();
    source.schema.tables[0].visibility = Visibility::RowSecurity;
    source.schema.tables[1].visibility = Visibility::Denied(vec!["SELECT".to_owned()]);
    let fault = source.scan().await.unwrap_err();
    assert_eq!(fault.category, unseed_core::fault::Category::Refused);
    assert_eq!(
        fault.details,
        ["users: row-level security may hide rows", "payments: the role may not SELECT"]
    );
}

#[tokio::test]
async fn a_store_without_tenants_and_users_says_what_to_configure() {
    let report =
        MemSource::default().table("readings", &[("id", Text)], &lines(&["1"])).scan().await.unwrap();
    assert!(report.is_clean() && report.tables.is_empty());
    assert!(report.recommendations[0].contains("[entities.tenant]"));
}

const ACCOUNTS: &[(&str, ColumnKind)] = &[
    ("id", Text),
    ("tenant_id", Text),
    ("name", Text),
    ("email", Text),
    ("phone", Text),
    ("password_hash", Text),
    ("legal_hold", Text),
];

/// Throw-away addresses whose rows differ in nothing but what the caller says.
async fn accounts(phone: impl Fn(usize) -> String, password: impl Fn(usize) -> String) -> Report {
    let tenants: Vec<String> = (1..=3).map(|n| format!("{n}|Harbor {n} Foods|harbor-{n}|~|~")).collect();
    let mut rows: Vec<String> = (0..30)
        .map(|n| {
            let tenant = n % 3 + 1;
            format!("a{n}|{tenant}|Jane Keller|jane.keller{n}@yopmail.com|{}|{}|f", phone(n), password(n))
        })
        .collect();
    rows.push(format!("held|1|Test User|test@example.com|{}|{}|t", phone(0), password(0)));
    // People with the same telephone, and nothing that speaks for a test.
    rows.extend(
        (0..60).map(|n| format!("p{n}|{}|Maria Okafor|m{n}.okafor@gmail.com|030 1234 771|~|f", n % 3 + 1)),
    );
    let mut source = MemSource::default().table("tenants", TENANTS, &tenants).table("users", ACCOUNTS, &rows);
    source.scan().await.unwrap()
}

#[tokio::test]
async fn copied_values_support_other_signals_and_a_hold_outweighs_all() {
    let salted = |n: usize| format!("$2b$10${n:040}");
    let apart = accounts(|n| format!("030 99{n:05}"), salted).await;
    let phones = accounts(|_| "030 5512 900".to_owned(), salted).await;
    let hashes = accounts(|n| format!("030 99{n:05}"), |_| salted(7)).await;
    let users = |report: &Report| {
        let table = report.tables.iter().find(|t| t.table.ends_with("users")).unwrap();
        (table.test, table.suspect)
    };
    assert_eq!((users(&apart), users(&phones), users(&hashes)), ((0, 30), (30, 0), (30, 0)));
    let said: Vec<&str> = phones.findings[0].signals.iter().map(|s| s.says.as_ref()).collect();
    assert!(said.contains(&"31 rows share its telephone number"), "{said:?}");
}

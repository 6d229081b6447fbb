//! Rows of many kinds against the verdict over all signals: what must be found, what must never be.

use super::check::{tenant, user, verdict};
use super::record::{Context, Money};
use super::score::Verdict;
use super::*;

#[track_caller]
fn all(expected: &[Verdict], records: &[Record<'_>]) {
    for record in records {
        let (score, signals) = Examiner::default().tell(record, &Context::default());
        let verdict = Thresholds::default().verdict(score);
        let (name, email) = (record.name, record.email);
        assert!(expected.contains(&verdict), "`{name}` <{email}>: {verdict:?} {score:?} {signals:?}");
    }
}

#[test]
fn test_rows_are_found_by_their_own_fields() {
    let rows = [
        tenant("Test Tenant 1712345678", "test-tenant-1712345678123", "test-1712345678123@example.com"),
        tenant("E2E Org 00d2be", "e2e-00d2be6cae", "e2e+00d2be@test.com"),
        tenant("Load Test 000123", "loadtest-000123", "load.123@example.org"),
        tenant("demo-lazy-4fd1", "demo-4fd1029384", "demo.4fd102@mailinator.com"),
        tenant("New Org", "try12", "bob+test12@gmail.com"),
        tenant("Acme", "", "e2e+17@mailinator.com"),
        tenant("My Test Org", "", ""),
        tenant("asdf", "asdf", "asdf@asdf.com"),
        user("Test User", "test@corp.com"),
        user("Jane Smith", "jsmith@example.org"),
        user("QA Bot", "qa-bot@corp.test"),
        user("Demo User 12", "demo12@example.com"),
        tenant("Тестовая компания", "", ""),
        tenant("Empresa de pruebas", "", ""),
        tenant("Firma testowa 3", "", ""),
        tenant("株式会社テスト", "", ""),
        tenant("测试公司", "", ""),
        user("테스트 사용자", ""),
        user("テスト太郎", "taro@test.co.jp"),
        user("Testkunde 4", ""),
        user("Usuário Teste", "teste@teste.com.br"),
        user("Utilisateur Test", ""),
    ];
    all(&[Verdict::Test], &rows);
}

#[test]
fn real_rows_that_look_like_tests_are_spared() {
    let rows = [
        tenant("Testarossa Motors", "testarossa-motors", "accounts@testarossa-motors.it"),
        tenant("Demopolis Foods", "demopolisfoods", "accounts@demopolisfoods.com"),
        tenant("QA Petroleum Services", "qapetroleum", "accounts@qapetroleum.qa"),
        tenant("Staging & Rigging Co", "stagingrigging", "accounts@stagingrigging.com"),
        tenant("Sandbox Toys GmbH", "sandbox-toys", "accounts@sandbox-toys.de"),
        tenant("Example Bay Fisheries", "examplebay", "accounts@examplebay.ca"),
        tenant("E2E Freight (End to End Logistics)", "e2efreight", "accounts@e2efreight.com"),
        tenant("Mockingbird Press", "mockingbirdpress", ""),
        tenant("Test Valley Borough Council", "testvalley", "info@testvalley.gov.uk"),
        tenant("System Management", "system-management", "platform@atomagents.io"),
        tenant("System Default Tenant", "default", ""),
        user("Demo Lewis", "demo.lewis@lewisroofing.com"),
        user("Customer 7", "customer7@gmail.com"),
        user("Maria Tester", "maria.tester@brennanmachinery.com"),
        user("Tomas Demo", "tomas.demo@brennanmachinery.com"),
        user("Jennifer Null", "jennifer.null@gmail.com"),
        user("Anna Sample", "asample@samplebrothers.com"),
        tenant("Proefstation Wageningen", "proefstation", "info@proefstation.nl"),
        tenant("中国测试技术研究院", "", "info@nimtt.ac.cn"),
        tenant("Teste di Moro Ceramiche", "testedimoro", "info@testedimoro.it"),
        tenant("Prova Systems GmbH", "prova", "info@prova.de"),
        user("Giulia Prova", "giulia.prova@libero.it"),
        user("Anna Probe", "a.probe@web.de"),
        user("Fabio Testa", "fabio.testa@gmail.com"),
        user("Marie Essai", "marie.essai@orange.fr"),
    ];
    all(&[Verdict::Real], &rows);
}

#[test]
fn a_name_that_is_also_a_test_word_never_suffices() {
    let rows = [
        tenant("Sample", "sample", ""),
        tenant("Demo", "demo", ""),
        tenant("Sample GmbH", "sample", ""),
        tenant("Acme", "acme", ""),
        tenant("AAA", "aaa", ""),
        user("Null", ""),
        user("Tester", "tester@hotmail.com"),
        user("Foo", "foo@nus.edu.sg"),
    ];
    all(&[Verdict::Real, Verdict::Suspect], &rows);
}

#[test]
fn real_money_outweighs_a_test_name_and_test_money_confirms_it() {
    let paid = Context { money: Some(Money { marked: 0, paid: 9 }), ..Context::default() };
    let marked = Context { money: Some(Money { marked: 2, paid: 0 }), ..Context::default() };
    let sandbox = tenant("Sandbox", "sandbox", "");
    assert_eq!(verdict(&sandbox, &paid), Verdict::Real);
    assert_ne!(verdict(&sandbox, &marked), Verdict::Real);
}

#[test]
fn hostile_text_neither_panics_nor_matches() {
    let long = "a".repeat(1_000_000);
    let labels = format!("x@{}com", "a.".repeat(10_000));
    let bidi = "\u{202e}tset\u{202c} \0 e\u{301}\u{301}";
    for text in [long.as_str(), labels.as_str(), bidi, "@@@@", "+@.", "\u{feff}", "🧪🧪"] {
        let record = Record {
            name: text,
            slug: text,
            username: text,
            email: text,
            phone: text,
            role: text,
            address: text,
            payment: text,
            password: text,
            ..user("", "")
        };
        assert_ne!(verdict(&record, &Context::default()), Verdict::Test);
    }
}

//! Test words in a name, as whole words, with safety for real names.
//!
//! What decides is what is left once the test words are taken away. `Test Tenant 17` leaves nothing; `QA
//! Petroleum Services` leaves a business. Words such as `demo` or `sample` are also surnames, companies and
//! ordinary words, so on their own they never suffice. Sources: names given by people and tools to throw-away
//! rows; surnames and companies that collide with them.

use super::lexicon::Class;
use super::text::{Counts, Words};
use super::{Detector, Found, Group, Subject};
use crate::entity::Entity;

pub(super) const DETECTOR: Detector =
    Detector { id: "name.vocabulary", title: "name made of test words", group: Group::Name, examine };

/// Words that hardly occur in real names.
pub(super) const STRONG: &str = "\
    test tests testing tested e2e endtoend loadtest loadtesting stresstest smoketest unittest perftest \
    abtest qatest testqa apitest uitest autotest regtest pentest testcase testdata dummy fake webdriver \
    testcafe k6 jmeter pytest rspec vitest mockaroo faker fakedata foobar deleteme dontuse donotuse \
    throwaway ipsum helloworld synthetic testuser testaccount testtest pruebas prueba тест テスト 테스트 测试 測試 \
    \
    тестовый тестовая тестовое тестовые тестовых testowy testowa testowe testowi dummydata probando \
    testbedrijf testkunde testkunden testfirma testnutzer testbenutzer testgebruiker testklant testcompany \
    testcompte utilisateurtest testcorp testinc testacct testacc testdb testorg testmail testemail testmember \
    testcliente testeur テスター 試験用 테스터 体験版テスト ダミー 더미 虚拟测试 smoketests loadtests testaccounts \
    qatests unittests e2etest e2etests integrationtest integrationtests seleniumtest cypresstest factice \
    fittizio fittizia ficticio ficticia fictício proefbedrijf nepbedrijf";

/// Words that are also names or have an ordinary meaning.
pub(super) const SOFT: &str = "\
    demo demos sample samples example examples staging stage sandbox qa qe uat sit dev tester mock mocks \
    stub null undefined nil none na nan tmp temp temporary try tryout trying beta alpha pilot poc spike \
    ci cicd seeded placeholder foo bar baz qux quux blah todo tbd xyz abc junk bogus delete remove \
    invalid localhost bench playground tutorial training muster ejemplo exemple exemplo esempio \
    voorbeeld beispiel preprod nonprod mocha cypress gatling selenium puppeteer playwright postman \
    locust jest canary lorem prova essai teste testes ensaio exemplos amostra piloto muestra muestras \
    maqueta esempi campione essais échantillon echantillon beispiele probe vorlage platzhalter voorbeelden proef \
    próba przykład przykładowy przykładowa przyklad przykladowa демо пример примеры проба образец проверка \
    サンプル デモ お試し 試用 샘플 데모 예제 예시 示例 样例 演示 範例 试用 gherkin cucumber nightwatch webdriverio \
    mockaroo factorybot artillery vegeta tavern karate detox appium testrail smoke";

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.name;
    let counts = &words.counts;
    if counts.strong + counts.soft == 0 {
        let generic = counts.noun > 0 && counts.no_name_left() && counts.junk + counts.placeholder == 0;
        let tenant = subject.record.entity == Entity::Tenant;
        return (generic && tenant).then(|| Found::new(1.0, "name says what it is, but not whose"));
    }
    let weight = weigh(&words.counts)?.max(if marked(subject.record.name, words) { 3.3 } else { 0.0 });
    Some(match words.counts.no_name_left() {
        true => Found::told(weight, |s| ["name is nothing but test words (`", first(s), "`)"].concat()),
        false => Found::told(weight, |s| ["name contains the word `", first(s), "`"].concat()),
    })
}

/// The first test word of the name.
fn first<'a>(subject: &Subject<'a>) -> &'a str {
    let is_test = |class| matches!(class, Class::Strong | Class::Soft);
    subject.words.name.iter().find(|(t, _)| is_test(t.class)).map_or("", |(_, text)| text)
}

/// The weight of a field's test words given what else the field holds.
pub(super) fn weigh(counts: &Counts) -> Option<f64> {
    let company = counts.trade > 0 || counts.legal > 0;
    match (counts.strong, counts.soft) {
        (0, 0) => None,
        (_, _) if counts.no_name_left() => Some(bare(counts)),
        (0, _) if company => Some(0.2),
        (0, _) => Some(0.6),
        (_, _) if company => Some(0.5),
        (_, _) => Some(1.5),
    }
}

/// Test words with no part of a real name beside them.
fn bare(counts: &Counts) -> f64 {
    let test_words = counts.strong + counts.soft + counts.junk;
    let frame = counts.noun > 0 || counts.number > 0 || counts.mixed > 0;
    match (counts.strong, test_words) {
        (0, 0 | 1) if counts.noun > 0 && (counts.number > 0 || counts.mixed > 0) => 6.3,
        (0, 0 | 1) if counts.noun > 0 => 5.2,
        (0, 0 | 1) if counts.number > 0 || counts.mixed > 0 => 4.0,
        (0, 0 | 1) if counts.legal > 0 => 3.5,
        (0, 0 | 1) if counts.filler > 0 => 3.0,
        (0, 0 | 1) => 2.5,
        (0, _) => 6.0,
        (_, 2..) => 6.4,
        (_, _) if frame => 6.3,
        (_, _) if counts.filler > 0 => 5.5,
        (_, _) => 4.8,
    }
}

/// `Brennan Machinery (TEST)`, `Brennan - test`: a mark that somebody put behind a real name.
fn marked(name: &str, words: &Words) -> bool {
    let Some((last, text)) = words.iter().next_back() else { return false };
    if last.class != Class::Strong || words.tokens.len() < 2 {
        return false;
    }
    let Some(cut) = name.len().checked_sub(text.len() + 1) else { return false };
    let tail = name.get(cut..).unwrap_or("").trim_end();
    let before = name.get(..cut).unwrap_or("").trim_end();
    tail.ends_with([')', ']'])
        || before.ends_with(['-', '–', ':', '/', '|'])
        || tail.chars().all(|c| !c.is_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh_name(name: &str) -> f64 {
        check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default())
    }

    #[test]
    fn names_of_test_words_alone_weigh_much() {
        for name in [
            "Test Tenant 1712345678",
            "My Test Org",
            "E2E Org 00d2be",
            "Load Test 000123",
            "testing 123",
            "Demo User 12",
            "QA Test",
            "foo bar",
            "TestUser",
        ] {
            assert!(weigh_name(name) >= 6.0, "{name}: {}", weigh_name(name));
        }
    }

    #[test]
    fn real_businesses_with_a_test_word_weigh_next_to_nothing() {
        for name in [
            "QA Petroleum Services",
            "Sandbox Toys GmbH",
            "Staging & Rigging Co",
            "Example Bay Fisheries",
            "E2E Freight (End to End Logistics)",
            "Test Valley Borough Council",
            "Sample Bros Inc",
        ] {
            assert!(weigh_name(name) <= 0.6, "{name}: {}", weigh_name(name));
        }
    }

    #[test]
    fn a_surname_is_not_enough_and_longer_words_are_silent() {
        for name in ["Demo", "Null", "Tester", "Sample", "Demo Lewis", "Sample GmbH"] {
            assert!(weigh_name(name) <= 3.5, "{name}: {}", weigh_name(name));
        }
        for name in [
            "Testarossa Motors",
            "Contest Media Group",
            "Attestation Partners LLP",
            "Mockingbird Press",
            "Testo SE",
        ] {
            assert!(weigh_name(name).abs() < 1e-9, "{name}");
        }
    }

    #[test]
    fn a_mark_behind_a_real_name_makes_it_suspicious() {
        assert!(weigh_name("Brennan Machinery (TEST)") > 3.0);
        assert!(weigh_name("Brennan Machinery - test") > 3.0);
        assert!(weigh_name("Brennan Test Machinery") < 1.0);
    }
}

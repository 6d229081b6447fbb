//! Test words in a name, as whole words, with safety for real names.
//!
//! What decides is what is left once the test words are taken away. `Test Tenant 17` leaves nothing; `QA
//! Petroleum Services` leaves a business. Words such as `demo` or `sample` are also surnames, companies and
//! ordinary words, so on their own they never suffice. Sources: names given by people and tools to throw-away
//! rows; surnames and companies that collide with them.

use super::lexicon::{Class, WordSet};
use super::text::Words;
use super::{Detector, Found, Group, Subject, placeholder};
use crate::entity::Entity;
use std::sync::LazyLock;

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
    fittizio fittizia ficticio ficticia fictício proefbedrijf nepbedrijf testdomain testserver testwebsite \
    teszt tesztelés testovací testovacia тестовий тестов тестова اختبار تجريبي تجريبية בדיקה ทดสอบ δοκιμή δοκιμαστικός \
    testikäyttäjä testbruger testbruker testanvändare testkonto testkunder phpunit junit testng xunit nunit \
    testcontainers playwrighttest";

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
    mockaroo factorybot artillery vegeta tavern karate detox appium testrail smoke deneme testi kokeilu prøve \
    contoh percobaan probni browserstack saucelabs lambdatest uptimerobot pingdom checkly synthetics newman";

/// Of these, words that are also surnames, trades or works: by themselves they say less.
static ORDINARY: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(ORDINARY_LIST.split_whitespace()));

const ORDINARY_LIST: &str = "\
    testing tested fake faker dummy synthetic throwaway tester mock mocks mocha cypress pilot alpha beta smoke \
    karate locust canary junk bogus postman newman selenium gatling jest artillery spike bar try trying tryout \
    tavern detox vegeta gherkin cucumber nightwatch temp temporary bench playground stage delete remove invalid \
    sit dev training prova probe proef teste testi piloto campione muestra vorlage blah foo none null nil na nan";

/// Of these, words that people are called by in the lists of surnames of censuses; two of them make a whole name, or the
/// firm of two. Those that stand for nothing in programs (`foo`, `bar`) are left out: together they are no coincidence.
static SURNAMES: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(SURNAME_LIST.split_whitespace()));

const SURNAME_LIST: &str = "\
    demo demos sample samples sit dev tester mock mocks stub null none na nan try beta alpha pilot bench stage junk blah \
    muster training probe vorlage proef prova teste piloto karate jest canary smoke newman postman tavern campione";

/// Words that say test plainly wherever they stand beside a noun.
static PLAIN: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(PLAIN_LIST.split_whitespace()));

const PLAIN_LIST: &str = "\
    demo demos sample example examples staging sandbox qa uat mock stub placeholder preprod nonprod foo e2e k6 seeded \
    ejemplo exemple exemplo beispiel voorbeeld muster サンプル デモ 샘플 데모 示例 样例 演示 テスト playwright";

/// What people of a company are: `QA Manager` is one of them.
const ROLES: &[&str] = &[
    "manager",
    "team",
    "teams",
    "owner",
    "operator",
    "developer",
    "editor",
    "reviewer",
    "approver",
    "agent",
    "student",
];

/// What businesses call themselves.
const BUSINESS: &[&str] = &[
    "company",
    "companies",
    "shop",
    "store",
    "business",
    "site",
    "team",
    "app",
    "application",
    "agent",
    "student",
    "patient",
    "project",
    "verein",
    "azienda",
    "empresa",
    "firma",
    "bedrijf",
    "compagnia",
    "společnost",
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.name;
    let counts = &words.counts;
    let entity = subject.record.entity;
    if counts.strong + counts.soft == 0 {
        return without_test_words(subject, entity);
    }
    let joins = subject.record.name.contains('&');
    // A person may be called Test; who calls a company so means it.
    let named = entity == Entity::Tenant && counts.strong == 1 && counts.soft + counts.junk == 0;
    let least =
        if named && counts.no_name_left() && !has_ordinary(words) && !has_article(words) { 6.0 } else { 0.0 };
    let weight = weigh(words)?
        .max(least)
        .min(if joins { 4.5 } else { f64::MAX })
        .max(marks(subject.record.name, words));
    Some(match words.counts.no_name_left() {
        true => Found::told(weight, |s| ["name is nothing but test words (`", first(s), "`)"].concat()),
        false => Found::told(weight, |s| ["name contains the word `", first(s), "`"].concat()),
    })
}

/// `load-user-4411`, `Regression User 5`, and names that say what a row is, but not whose.
fn without_test_words(subject: &Subject<'_>, entity: Entity) -> Option<Found> {
    let words = &subject.words.name;
    let counts = &words.counts;
    if subject.record.name.ends_with(')') && marks(subject.record.name, words) > 0.0 {
        return Some(Found::new(5.2, "name asks to be left alone or deleted"));
    }
    if counts.noun == 0 || !counts.no_name_left() || counts.junk + counts.placeholder + counts.legal > 0 {
        return None;
    }
    let numbered = counts.number + counts.mixed > 0;
    if counts.activity > 0 && (counts.noun > counts.activity || numbered) && !is_business(words) {
        let weight = if counts.noun > counts.activity && numbered { 4.5 } else { 2.5 };
        return Some(Found::new(weight, "name is that of a test run"));
    }
    (entity == Entity::Tenant).then(|| Found::new(1.0, "name says what it is, but not whose"))
}

/// The first test word of the name.
fn first<'a>(subject: &Subject<'a>) -> &'a str {
    let is_test = |class| matches!(class, Class::Strong | Class::Soft);
    subject.words.name.iter().find(|(t, _)| is_test(t.class)).map_or("", |(_, text)| text)
}

/// The weight of a field's test words given what else the field holds.
pub(super) fn weigh(words: &Words) -> Option<f64> {
    let counts = &words.counts;
    let company = counts.trade > 0 || counts.legal > 0;
    match (counts.strong, counts.soft) {
        (0, 0) => None,
        (_, _) if counts.no_name_left() => Some(bare(words)),
        (0, _) if company => Some(0.2),
        (0, _) => Some(0.6),
        (_, _) if company => Some(0.5),
        (_, _) => Some(1.5),
    }
}

/// Test words with no part of a real name beside them.
fn bare(words: &Words) -> f64 {
    let counts = &words.counts;
    let numbered = counts.number > 0 || counts.mixed > 0;
    match (counts.strong, counts.soft) {
        (0, 0 | 1) if counts.junk == 0 => soft_alone(words),
        // What a program writes where it knows no name; the row may be anybody's.
        (0, _) if is_nullish(words) => 2.5,
        // `Demo Null` may be somebody, `Sample & Mock` a firm.
        (0, 2) if counts.noun == 0 && !numbered && are_surnames(words) => 3.5,
        // `Alpha Tester GmbH`
        (0, 2..) if counts.junk == 0 && counts.legal > 0 && !numbered => 4.5,
        (0, _) => 6.0,
        // `Load Testing Ltd`, `User Testing`, `Dummy GmbH`: what somebody does or is called.
        (1, 0) if counts.junk == 0 && !numbered && has_ordinary(words) => ordinary(words),
        (1, 1) if !numbered && counts.noun == 0 && has_ordinary(words) => 4.0,
        (1, 0) if counts.junk == 0 && !numbered && (has_role(words) || has_article(words)) => 4.5,
        (_, 1..) | (2.., _) => 6.4,
        (_, _) if counts.noun > 0 || numbered => 6.3,
        (_, _) if counts.filler > 0 => 5.5,
        (_, _) => 4.8,
    }
}

/// One strong word that is also an ordinary one, without a number.
fn ordinary(words: &Words) -> f64 {
    let counts = &words.counts;
    match (counts.legal > 0, counts.noun > 0) {
        (true, _) => 3.5,
        (false, true) if has_role(words) || has_article(words) => 3.0,
        // `dummyuser`, `Fake Company`; but `User Testing`
        (false, true) if ends_with_test_word(words) => 4.5,
        (false, true) => 6.3,
        (false, false) => 4.5,
    }
}

/// One word that is also a name or an ordinary word.
fn soft_alone(words: &Words) -> f64 {
    let counts = &words.counts;
    let numbered = counts.number > 0 || counts.mixed > 0;
    let plain =
        || words.iter().any(|(t, word)| t.class == Class::Soft && (t.is_glued() || PLAIN.contains(word)));
    match (counts.noun > 0, numbered) {
        (true, true) if is_business(words) && !plain() => 4.0,
        (true, true) => 6.3,
        // `The Demo Company`, `QA Manager`, `Pilot Company`
        (true, false) if has_article(words) || has_role(words) || (is_business(words) && !plain()) => 3.0,
        (true, false) if counts.legal > 0 => 4.5,
        (true, false) if plain() => 6.0,
        (true, false) => 4.9,
        (false, true) => 4.0,
        (false, false) if counts.legal > 0 => 3.5,
        (false, false) if counts.filler > 0 => 3.0,
        (false, false) => 2.5,
    }
}

/// Whether a name of test words could be one that a company has chosen, so that its domain proves nothing.
pub(super) fn may_be_chosen(words: &Words) -> bool {
    let c = &words.counts;
    c.number + c.mixed == 0 && ((c.strong == 0 && c.soft == 1) || (c.strong == 1 && has_ordinary(words)))
}

/// Whether a test word of the field is also an ordinary one.
fn has_ordinary(words: &Words) -> bool {
    let is_test = |class| matches!(class, Class::Strong | Class::Soft);
    words.iter().any(|(t, word)| is_test(t.class) && ORDINARY.contains(word))
}

/// `null null`, `undefined undefined`.
fn is_nullish(words: &Words) -> bool {
    words
        .iter()
        .all(|(_, word)| matches!(word, "null" | "undefined" | "none" | "nil" | "nan" | "na" | "unknown"))
}

/// Whether every test word of the field is a surname too.
fn are_surnames(words: &Words) -> bool {
    words.iter().all(|(t, word)| !matches!(t.class, Class::Soft | Class::Junk) || SURNAMES.contains(word))
}

/// `The Demo Company`, as brands call themselves.
fn has_article(words: &Words) -> bool {
    words.iter().next().is_some_and(|(_, word)| word == "the")
}

fn has_role(words: &Words) -> bool {
    words.iter().any(|(t, word)| t.class == Class::Noun && ROLES.contains(&word))
}

/// Whether all nouns are such as businesses call themselves by.
fn is_business(words: &Words) -> bool {
    let mut nouns = words.iter().filter(|(t, _)| t.class == Class::Noun).peekable();
    nouns.peek().is_some() && nouns.all(|(_, word)| BUSINESS.contains(&word))
}

fn ends_with_test_word(words: &Words) -> bool {
    words.iter().next_back().is_some_and(|(t, _)| t.class == Class::Strong && !t.is_glued())
}

/// `[TEST] Brennan`, `Brennan Machinery (TEST)`, `Brennan - test`: a mark that somebody put on a real name.
fn marks(name: &str, words: &Words) -> f64 {
    if words.tokens.len() < 2 || words.counts.no_name_left() {
        return 0.0;
    }
    let name = name.trim();
    let mark = |part: &str| {
        let mut said = words.iter().filter(|(t, _)| t.class == Class::Strong);
        said.any(|(_, word)| part.eq_ignore_ascii_case(word))
    };
    let bracketed = |part: &str| part.split([' ', '-', '_']).any(mark) || placeholder::is_imperative(part);
    if let Some((_, inner)) = name.strip_suffix([')', ']']).and_then(|n| n.rsplit_once(['(', '['])) {
        return if bracketed(inner) { 5.2 } else { 0.0 };
    }
    if let Some((inner, _)) = name.strip_prefix(['(', '[']).and_then(|n| n.split_once([')', ']'])) {
        return if bracketed(inner) { 5.2 } else { 0.0 };
    }
    let parts = name.split_once(" - ").or_else(|| name.split_once([':', '|', '/']));
    let apart = parts.is_some_and(|(head, tail)| mark(head.trim()) || bracketed(tail.trim()));
    let behind = name.rsplit_once(['-', '–']).is_some_and(|(_, tail)| mark(tail.trim()));
    // In a name of one word, such as `cypress-io-demo`, dashes mark nothing.
    if apart || (behind && name.contains(' ')) {
        return 4.0;
    }
    let last = name.rsplit(' ').next().filter(|part| mark(part));
    let first = name.split(' ').next().filter(|part| mark(part));
    // `Brennan Foods TEST`, `TEST Brennan Foods`, `Brennan Foods test`, against `Brennan Test Foods`.
    let odd =
        |part: &&str| part.chars().all(|c| !c.is_lowercase()) || part.chars().all(|c| !c.is_uppercase());
    let shouted = name.chars().all(|c| !c.is_lowercase()) || name.chars().all(|c| !c.is_uppercase());
    if !shouted && (last.filter(odd).is_some() || first.filter(odd).is_some()) { 3.3 } else { 0.0 }
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
        for name in ["Demo", "Null", "Tester", "Sample", "Demo Lewis", "Sample GmbH", "株式会社サンプル"]
        {
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
    fn two_surnames_are_not_enough_and_words_of_programs_are() {
        for name in ["Demo Null", "Mock Tester", "Sample & Mock", "Null Sample LLC", "Demo Pilot"] {
            assert!(weigh_name(name) <= 4.5, "{name}: {}", weigh_name(name));
        }
        let asked = check::user("Demo Null", "demo.null@gmail.com");
        assert_ne!(check::verdict(&asked, &Context::default()), super::super::score::Verdict::Test);
        for name in ["foo bar", "Staging Demo", "Demo Null 17", "Demo Null User"] {
            assert!(weigh_name(name) >= 6.0, "{name}: {}", weigh_name(name));
        }
    }

    #[test]
    fn a_mark_behind_a_real_name_makes_it_suspicious() {
        assert!(weigh_name("Brennan Machinery (TEST)") > 3.0);
        assert!(weigh_name("Brennan Machinery - test") > 3.0);
        assert!(weigh_name("Brennan Test Machinery") < 1.0);
    }
}

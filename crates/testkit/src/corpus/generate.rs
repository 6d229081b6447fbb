//! Records as seed libraries, test tools and people make them, from lists of words of which each part has its own.
//!
//! The shapes are those of the tools: Faker's companies and `example.*` addresses, the names that end-to-end and
//! load tests give, factories that count up. Real records are companies and people of several countries with the
//! addresses that such have.

use super::{Part, Record};

/// Records per source and part.
const COUNT: u64 = 300;

/// Numbers that depend on nothing but their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let count = u64::try_from(words.len()).expect("a list is short");
        words[usize::try_from(self.roll(count)).expect("a list is short")]
    }
}

/// The words of one part.
struct Words {
    given: Vec<&'static str>,
    family: Vec<&'static str>,
    stems: Vec<&'static str>,
    trades: Vec<&'static str>,
}

const GIVEN: &str = "Maria Jonas Aisha Pierre Helen Kofi Ingrid Tomas Leila Oscar Nadia Victor Ruth Diego Emma Li Sofia Ahmed \
    Chloe Mateusz Yuki Priya Noah Fatima Lars Elena Marco Zeynep Hugo Olivia Ivan Carmen Felix Amara Pavel Greta Samuel Mei \
    Anders Lucia";
const FAMILY: &str = "Keller Okafor Moreau Novak Tanaka Silva Haddad Larsen Rossi Petrov Nguyen Schmidt Kowalski Garcia Singh \
    Jansen Costa Ivanova Park Demir Fischer Dubois Mensah Horvat Lindqvist Brennan Castillo Weber Osei Fontaine Marino Suzuki \
    Bakker Andersson Popescu Reyes Khan Vogel Leclerc Yamada";
const STEMS: &str = "Brennan Calder Harbor Northwind-Lake Silverline Oakfield Marlow Kestrel Juniper Falken Tamarack Westbrook \
    Corvia Lindgren Aldous Pemberly Rosario Vantage Hollis Meridian Beckett Sorrento Ashdown Galloway Ostrava Pinecrest \
    Ravello Thornbury Wexford Zenith";
const TRADES: &str = "Foods Freight Dental Works Marine Legal Roofing Optics Farms Paper Motors Clinic Energy Textiles Labs \
    Partners Bakery Logistics Architects Orchards";
const FREE: &[&str] =
    &["gmail.com", "outlook.com", "yahoo.com", "web.de", "orange.fr", "libero.it", "naver.com"];

fn half(list: &'static str, part: Part) -> Vec<&'static str> {
    let words = list.split_whitespace().enumerate();
    words.filter(|(n, _)| n.is_multiple_of(2) == (part == Part::Train)).map(|(_, word)| word).collect()
}

impl Words {
    fn of(part: Part) -> Self {
        Self {
            given: half(GIVEN, part),
            family: half(FAMILY, part),
            stems: half(STEMS, part),
            trades: half(TRADES, part),
        }
    }

    fn person(&self, dice: &mut Dice) -> (&'static str, &'static str) {
        (dice.pick(&self.given), dice.pick(&self.family))
    }
}

type Make = fn(&Words, &mut Dice, u64) -> Record;

/// Every source with what makes one record of it.
const SOURCES: &[(&str, Make)] = &[
    ("companies", company),
    ("people at companies", colleague),
    ("people at free providers", private_person),
    ("faker users", faker_user),
    ("faker companies", faker_company),
    ("end-to-end tools", end_to_end),
    ("load tests", load_test),
    ("factories", factory),
    ("plus-tags", plus_tag),
    ("throw-away addresses", throw_away),
    ("demo scripts", demo_script),
    ("law firms and double names", firm),
    ("names with a number", numbered_person),
    ("seed libraries", seeded),
    ("doubled addresses", doubled),
];

/// The generated records of a part.
pub(super) fn records(part: Part) -> Vec<Record> {
    let words = Words::of(part);
    let mut dice = Dice(if part == Part::Train { 11 } else { 4_242 });
    let mut all = Vec::new();
    for (source, make) in SOURCES {
        // Real records outnumber test records in life; here they are half, so that both are measured.
        let count = if make(&words, &mut dice, 0).is_test { COUNT } else { COUNT * 3 };
        // The parts count from different numbers, since some records are little else.
        let first = if part == Part::Train { 1 } else { 10_001 };
        all.extend(
            (first..first + count)
                .map(|n| Record { source: (*source).to_owned(), ..make(&words, &mut dice, n) }),
        );
    }
    all
}

fn record(is_test: bool, kind: &'static str, [name, slug, email]: [String; 3]) -> Record {
    Record { is_test, kind, source: String::new(), name, slug, email, phone: String::new() }
}

fn lower(text: &str) -> String {
    text.to_lowercase().replace(' ', "")
}

fn company(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (stem, trade) = (dice.pick(&words.stems), dice.pick(&words.trades));
    let family = dice.pick(&words.family);
    let (name, domain) = match dice.roll(4) {
        0 => (format!("{family} {trade}"), lower(family) + &lower(trade)),
        1 => (format!("{stem} {trade} GmbH"), lower(stem)),
        2 => (format!("{family} & {stem}"), lower(family) + "-" + &lower(stem)),
        _ => (format!("{stem} {trade}"), lower(stem) + &lower(trade)),
    };
    let local = dice.pick(&["info", "office", "accounts", "hello", "billing"]);
    let top = dice.pick(&["com", "de", "co.uk", "fr", "io"]);
    let email = format!("{local}@{domain}.{top}");
    record(false, "tenant", [name, domain, email])
}

fn colleague(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (given, family) = words.person(dice);
    let domain = lower(dice.pick(&words.stems)) + &lower(dice.pick(&words.trades));
    let local = match dice.roll(3) {
        0 => format!("{}.{}", lower(given), lower(family)),
        1 => format!("{}{}", &lower(given)[..1], lower(family)),
        _ => lower(given),
    };
    record(false, "user", [format!("{given} {family}"), String::new(), format!("{local}@{domain}.com")])
}

fn private_person(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (given, family) = words.person(dice);
    let year = 1960 + dice.roll(45);
    let local = match dice.roll(4) {
        0 => format!("{}{year}", lower(given)),
        1 => format!("{}.{}{}", lower(given), lower(family), dice.roll(99)),
        2 => format!("{}_{}", lower(family), lower(given)),
        _ => format!("{}.{}", lower(given), lower(family)),
    };
    record(
        false,
        "user",
        [format!("{given} {family}"), String::new(), format!("{local}@{}", dice.pick(FREE))],
    )
}

fn faker_user(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (given, family) = words.person(dice);
    let separator = dice.pick(&[".", "_", ""]);
    let (number, top) = (dice.roll(99), dice.pick(&["com", "org", "net"]));
    let email = format!("{given}{separator}{family}{number}@example.{top}");
    record(true, "user", [format!("{given} {family}"), String::new(), email])
}

fn faker_company(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (one, two, three) = (dice.pick(&words.family), dice.pick(&words.family), dice.pick(&words.family));
    let name = match dice.roll(3) {
        0 => format!("{one}, {two} and {three}"),
        1 => format!("{one} - {two}"),
        _ => format!("{one} {}", dice.pick(&["Group", "LLC", "Inc", "and Sons"])),
    };
    let email = format!("{}@{}.{}", lower(two), lower(one), dice.pick(&["test", "example", "example.com"]));
    record(true, "tenant", [name, lower(one), email])
}

fn end_to_end(_: &Words, dice: &mut Dice, n: u64) -> Record {
    let hex = format!("{:06x}", dice.roll(1 << 24));
    let at = 1_712_000_000 + dice.roll(60_000_000);
    let [name, slug, email] = match n % 4 {
        0 => [format!("E2E Org {hex}"), format!("e2e-{hex}"), format!("e2e+{hex}@corp.io")],
        1 => [format!("Test Tenant {at}"), format!("test-tenant-{at}"), format!("test-{at}@example.com")],
        2 => [format!("Playwright {at}"), format!("pw-{at}"), format!("playwright-{at}@test.local")],
        _ => [format!("cypress-{hex}"), format!("cypress-{hex}"), format!("cypress+{at}@corp.io")],
    };
    record(true, "tenant", [name, slug, email])
}

fn load_test(_: &Words, dice: &mut Dice, n: u64) -> Record {
    let tool = dice.pick(&["loadtest", "k6", "perf", "stress-test"]);
    let email = format!("{tool}{n}@{}", dice.pick(&["example.org", "loadtest.local", "corp.io"]));
    record(true, "user", [format!("Load Test {n:06}"), String::new(), email])
}

fn factory(_: &Words, dice: &mut Dice, n: u64) -> Record {
    let noun = dice.pick(&["user", "person", "member", "customer"]);
    let email = format!("{noun}{n}@{}", dice.pick(&["example.com", "test.com", "email.test"]));
    record(true, "user", [format!("Test {noun} {n}"), String::new(), email])
}

fn plus_tag(words: &Words, dice: &mut Dice, n: u64) -> Record {
    let (given, family) = words.person(dice);
    let tag = dice.pick(&["test", "e2e", "qa", "staging", "demo"]);
    let email = format!("{}+{tag}{n}@{}", lower(given), dice.pick(&["corp.io", "gmail.com"]));
    record(true, "user", [format!("{given} {family}"), String::new(), email])
}

fn throw_away(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let domain = dice.pick(&["mailinator.com", "yopmail.com", "guerrillamail.com"]);
    let hex = format!("{:08x}", dice.roll(1 << 32));
    let name = dice.pick(&["Test Org", "My Company", "demo", "Trial Account"]);
    let slug = format!("{}-{hex}", lower(dice.pick(&words.stems)));
    record(true, "tenant", [format!("{name} {}", dice.roll(900)), slug, format!("{hex}@{domain}")])
}

fn demo_script(words: &Words, dice: &mut Dice, n: u64) -> Record {
    let stem = lower(dice.pick(&words.stems));
    let name = format!("demo-{stem}-{:04x}", dice.roll(1 << 16));
    record(
        true,
        "tenant",
        [name.clone(), name, format!("demo{n}@{}", dice.pick(&["demo.com", "example.com"]))],
    )
}

/// Real companies in the shapes of seed libraries.
fn firm(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (one, two, three) = (dice.pick(&words.family), dice.pick(&words.family), dice.pick(&words.family));
    let (name, label) = match dice.roll(4) {
        0 => (format!("{one}, {two} and {three}"), format!("{}{}law", lower(one), lower(two))),
        1 => (format!("{one}-{two}"), format!("{}-{}", lower(one), lower(two))),
        2 => (format!("{one} and Sons"), format!("{}andsons", lower(one))),
        _ => (format!("{one} {}", dice.pick(&["LLC", "Group", "Inc", "PLC"])), lower(one)),
    };
    let email = format!("{}@{label}.com", dice.pick(&["office", "info", "mail", "support"]));
    let phone = format!("212-{}-{} x{}", 600 + dice.roll(300), 1_000 + dice.roll(9_000), 10 + dice.roll(400));
    Record { phone, ..record(false, "tenant", [name, label, email]) }
}

/// People who put a year or a number behind their name, as their provider had asked.
fn numbered_person(words: &Words, dice: &mut Dice, _: u64) -> Record {
    let (given, family) = words.person(dice);
    let number = if dice.roll(2) == 0 { 1_950 + dice.roll(60) } else { dice.roll(1_000) };
    let local = match dice.roll(3) {
        0 => format!("{}{number}", lower(family)),
        1 => format!("{given}.{family}{number}"),
        _ => format!("{}{}{number}", &lower(given)[..1], lower(family)),
    };
    let email = format!("{local}@{}", dice.pick(FREE));
    record(false, "user", [format!("{given} {family}"), String::new(), email])
}

/// Another person's address at a safe domain, and a number with an extension.
fn seeded(words: &Words, dice: &mut Dice, n: u64) -> Record {
    let ((given, family), (other, name)) = (words.person(dice), words.person(dice));
    let phone =
        format!("001-{}-{}-{}x{}", 200 + dice.roll(700), 200 + dice.roll(700), 1_000 + dice.roll(9_000), n);
    let domain = dice.pick(&["example.com", "example.org", "example.net"]);
    let email = format!("{}{}{}@{domain}", &lower(other)[..1], lower(name), dice.roll(99));
    Record { phone, ..record(true, "user", [format!("{given} {family}"), String::new(), email]) }
}

/// What fingers type into a form that insists on an address.
fn doubled(_: &Words, dice: &mut Dice, n: u64) -> Record {
    let letter =
        |dice: &mut Dice| char::from(b"asdfghjkl"[usize::try_from(dice.roll(9)).expect("below nine")]);
    let word: String = (0..2 + n % 2).map(|_| letter(dice)).collect();
    let email = match n % 3 {
        0 => format!("{word}@{word}.{word}"),
        1 => format!("{word}@{word}.com"),
        _ => format!("{word}@b.c"),
    };
    record(true, "user", [format!("{word} {n}"), String::new(), email])
}

//! Companies and people that only live in documentation and films: Acme, Contoso, Initech, John Doe, Max
//! Mustermann.
//!
//! Real companies are called Acme too, so a bare placeholder is suspicious and no more; with another name
//! beside it (`Acme Brick Company`) it says next to nothing. Sources: sample data of vendors (Contoso, Fabrikam,
//! Northwind), companies of fiction, placeholder persons of several countries.

use super::lexicon::{Class, WordSet};
use super::text::Words;
use super::{Detector, Found, Group, Subject};
use std::sync::LazyLock;

pub(super) const DETECTOR: Detector = Detector {
    id: "name.placeholder",
    title: "name of an example company or person",
    group: Group::Name,
    examine,
};

/// Single words that are placeholders.
pub(super) const WORDS: &str = "\
    acme contoso initech globex fabrikam northwind adventureworks hooli initrode vandelay soylent \
    cyberdyne tyrell weyland oscorp lexcorp umbrellacorp wonka dundermifflin piedpiper acmecorp acmeinc \
    widgetco mustermann musterfrau musterfirma bloggs lipsum yourcompany mycompany companyname \
    examplecorp zzyzx 홍길동 张三 李四 王五 張三 иванов-тест fulano zutano mengano bidule truc machin \
    tizio sempronio";

/// Placeholders of several words, joined.
static PHRASES: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(PHRASE_LIST.split_whitespace()));

const PHRASE_LIST: &str = "\
    johndoe janedoe johnpublic joepublic jeandupont jeanduponttest fulanodetal piripiri janeroe johnroe \
    山田太郎 山田花子 测试员 иванивановтест юзерюзеров annaandersontest johnqpublic joebloggs fredbloggs johnsmithdoe maxmustermann erikamustermann \
    juanperezprueba fulanodetal testytest testymctestface testmctest testmctesterson mickeymouse \
    donaldduck bugsbunny homersimpson waynecorp wayneenterprises starkindustries umbrellacorporation \
    umbrellacorp piedpiper dundermifflin adventureworks wideworldimporters vandelayindustries \
    soylentcorp massivedynamic bluthcompany loremipsum dolorsitamet yournamehere companyname \
    firstnamelastname firstlast yourcompany mycompany homersimpsons johndoejr foobarinc widgetsinc \
    acmewidgets helloworld namesurname yourname tesztelek gipszjakab";

/// What people write on rows that nobody shall heed.
const IMPERATIVES: &[&str] = &[
    "deleteme",
    "deletemeplease",
    "pleasedelete",
    "pleasedeleteme",
    "pleaseignore",
    "ignoreme",
    "donotuse",
    "dontuse",
    "toberemoved",
    "tobedeleted",
    "removeme",
    "canbedeleted",
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.name;
    if IMPERATIVES.contains(&phrase(words.joined())) {
        return Some(Found::new(6.2, "name asks to be left alone or deleted"));
    }
    if PHRASES.contains(phrase(words.joined())) {
        return Some(Found::new(5.0, "name is one that examples use"));
    }
    let counts = &words.counts;
    if counts.placeholder == 0 {
        return None;
    }
    let with_given_name = counts.content == 1 && has_given_name(subject);
    if !counts.no_name_left() && !with_given_name {
        return Some(Found::new(0.6, "name contains that of an example company"));
    }
    let numbered = counts.number + counts.mixed > 0;
    Some(Found::new(if numbered { 4.5 } else { 3.5 }, "name is that of an example company"))
}

/// Companies of fiction whose names real companies bear as well.
const SHARED: &[&str] = &[
    "acme",
    "initech",
    "globex",
    "northwind",
    "hooli",
    "vandelay",
    "soylent",
    "cyberdyne",
    "tyrell",
    "weyland",
    "wonka",
];

/// Whether a name of examples could be one that a company has chosen, so that its domain proves nothing.
pub(super) fn may_be_chosen(words: &Words) -> bool {
    words.counts.number + words.counts.mixed == 0 && words.iter().any(|(_, word)| SHARED.contains(&word))
}

/// `do not use`, `please delete`: what people write behind names.
pub(super) fn is_imperative(text: &str) -> bool {
    let letters: String = text.chars().filter(char::is_ascii_alphabetic).take(20).collect();
    IMPERATIVES.contains(&letters.to_ascii_lowercase().as_str())
}

/// Without the number that makes copies differ: `johndoe17`.
fn phrase(joined: &str) -> &str {
    let last = joined.bytes().rposition(|b| !b.is_ascii_digit());
    last.map_or("", |last| &joined[..=last])
}

/// `Max Mustermann`: a placeholder surname keeps its sense behind any given name.
fn has_given_name(subject: &Subject<'_>) -> bool {
    let last = subject.words.name.iter().rfind(|(t, _)| t.class == Class::Placeholder);
    last.is_some_and(|(_, word)| matches!(word, "mustermann" | "musterfrau" | "bloggs"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(name: &str) -> f64 {
        check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default())
    }

    #[test]
    fn example_companies_and_people_are_found() {
        for name in [
            "Acme Corp 1731",
            "Contoso",
            "Globex Inc 7",
            "John Doe",
            "Jane Doe 12",
            "Max Mustermann",
            "Stark Industries",
        ] {
            assert!(weigh(name) >= 3.5, "{name}");
        }
    }

    #[test]
    fn real_companies_that_share_the_word_are_not() {
        for name in [
            "Acme Brick Company",
            "Globex Freight Sydney",
            "Doe Run Resources",
            "Wayne Farms",
            "Johnson Doeller",
        ] {
            assert!(weigh(name) <= 0.6, "{name}");
        }
    }
}

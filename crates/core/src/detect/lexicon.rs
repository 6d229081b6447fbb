//! The classes of words that detectors share, and one hash table over all of them.
//!
//! The lists of test words, junk and placeholders stand with their signals; the lists here are those that
//! decide whether something is left of a real name once the test words are taken away.
//!
//! Invariants
//! - a word has one class; where lists overlap the one named first in [`LISTS`] wins;
//! - a look-up costs one hash and allocates nothing.
//!
//! Not here: weights (one file per signal), domains (`domain`).

use super::{junk, placeholder, system, vocabulary};
use std::sync::LazyLock;

/// What kind of word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Says test on its own: `test`, `e2e`, `loadtest`.
    Strong,
    /// Says test beside a noun, but is also a name or an ordinary word: `demo`, `sample`, `staging`.
    Soft,
    /// Typed without a meaning: `asdf`.
    Junk,
    /// Companies and people of examples: `acme`, `contoso`.
    Placeholder,
    /// What a row is: `tenant`, `user`, `company`.
    Noun,
    /// Words that carry no name: `my`, `the`, `new`.
    Filler,
    /// What a real business does: `foods`, `logistics`.
    Trade,
    /// Legal forms: `gmbh`, `ltd`.
    Legal,
    /// Rows that belong to the application itself: `system`, `default`.
    System,
    /// Anything else: part of a real name, as far as one can tell.
    Content,
}

/// `user`, `tenant` and the other nouns that applications use for their rows.
const NOUNS: &str = "\
    user users tenant tenants org orgs organization organisation organizations company companies corp \
    corporation account accounts acct acc customer customers client clients workspace workspaces team \
    teams project projects member members person bot robot agent run case data record entry item row \
    suite env environment instance name firstname lastname surname first last email mail login username \
    signup registration guest visitor buyer seller vendor supplier student teacher patient employee \
    merchant business site store shop app application api db database benutzer kunde konto firma nutzer \
    mandant verein utilisateur compte entreprise societe société usuario cuenta empresa cliente conta \
    utente azienda gebruiker klant bedrijf uzytkownik użytkownik пользователь компания load performance \
    perf integration smoke unit regression automation automated automatic auto acceptance stress \
    benchmark bench seed seeded worker thread browser screenshot subject candidate persona profile \
    shared trial basic premium pro free paid enterprise starter owner admin manager viewer \
    editor operator developer approver reviewer superuser";

const FILLERS: &str = "\
    me us now later a an the my our your this that is it new old some any only just for of to in on by with and or \
    please ignore do not use keep no yes number nr num id v from at one two three another other copy \
    final hello hi der die das ein eine mein meine le la les un une mon ma el los mi de il mio o um uma \
    meu het een";

const TRADES: &str = "\
    group partner foods food motors motor services service solutions systems logistics freight shipping transport \
    trucking petroleum oil gas energy power solar electric machinery machine machines tools toys games \
    fisheries farms farm dairy bakery brewery winery coffee cafe restaurant catering kitchen hotel \
    hotels travel tours airlines aviation rigging scaffolding construction builders building roofing \
    plumbing painting interiors furniture homes realty properties property estates bank capital \
    financial finance insurance investments holdings ventures advisors advisory accounting law legal \
    attorneys consulting consultants associates partners media press publishing books studio studios \
    films pictures music records radio design designs creative marketing advertising events \
    entertainment productions theatre medical health healthcare clinic dental pharma pharmacy hospital \
    care labs lab laboratories laboratory diagnostics biotech sciences research institute university \
    college school academy education learning sports fitness gym yoga fashion apparel clothing jewelry \
    cosmetics beauty salon spa flowers garden gardens nursery pets veterinary engineering engineers \
    manufacturing industries industrial steel metals mining chemicals plastics paper packaging printing \
    textiles telecom communications networks network software technologies technology tech digital \
    electronics semiconductors security robotics automotive trading imports exports wholesale retail \
    supply supplies equipment rental rentals leasing recycling waste water marine boats yachts \
    foundation trust council association society union church ministries museum gallery bau handel werke \
    maschinenbau verlag apotheke praxis immobilien reisen versicherung bros brothers sons söhne fils \
    valley bay county city river lake hill park";

const LEGAL: &str = "\
    inc incorporated ltd limited llc llp lp plc co gmbh ag kg ohg ug mbh ev sa sarl sas srl sl slu bv nv \
    vof oy ab as aps kft zrt sro doo pty pvt pte kk gk oü ltda eirl ooo ооо sp zoo 株式会社 주식회사 有限公司";

/// All lists, strongest claim first.
const LISTS: &[(Class, &str)] = &[
    (Class::Strong, vocabulary::STRONG),
    (Class::Soft, vocabulary::SOFT),
    (Class::Junk, junk::WORDS),
    (Class::Placeholder, placeholder::WORDS),
    (Class::System, system::WORDS),
    (Class::Noun, NOUNS),
    (Class::Filler, FILLERS),
    (Class::Legal, LEGAL),
    (Class::Trade, TRADES),
];

static TABLE: LazyLock<WordMap> = LazyLock::new(|| {
    let words = LISTS.iter().flat_map(|(class, list)| list.split_whitespace().map(|w| (w, *class)));
    WordMap::new(words.collect())
});

/// The class of a word in lower case; a test word run together with a noun (`testtenant`) stays a test word.
pub(super) fn class(word: &str) -> Class {
    if let Some(class) = TABLE.get(word).or_else(|| glued(word)) {
        return class;
    }
    if junk::is_typed(word) { Class::Junk } else { Class::Content }
}

/// Test words that people write together with a noun.
const GLUE: &[(&str, Class)] = &[
    ("test", Class::Strong),
    ("e2e", Class::Strong),
    ("dummy", Class::Strong),
    ("fake", Class::Strong),
    ("loadtest", Class::Strong),
    ("mytest", Class::Strong),
    ("demo", Class::Soft),
    ("qa", Class::Soft),
    ("sample", Class::Soft),
];

fn glued(word: &str) -> Option<Class> {
    let noun = |rest: &str| rest.len() >= 3 && TABLE.get(rest) == Some(Class::Noun);
    if matches!(word.as_bytes().first(), Some(b't' | b'e' | b'd' | b'f' | b'l' | b'm' | b'q' | b's')) {
        let before = GLUE.iter().find(|(glue, _)| word.strip_prefix(glue).is_some_and(noun));
        if let Some((_, class)) = before {
            return Some(*class);
        }
    }
    word.strip_suffix("test").is_some_and(noun).then_some(Class::Strong)
}

/// A fixed hash table from words to classes.
struct WordMap {
    slots: Vec<Option<(&'static str, Class)>>,
    mask: usize,
}

impl WordMap {
    fn new(words: Vec<(&'static str, Class)>) -> Self {
        let size = (words.len() * 4).next_power_of_two();
        let mut map = Self { slots: vec![None; size], mask: size - 1 };
        for (word, class) in words {
            let slot = map.slot(word);
            map.slots[slot].get_or_insert((word, class));
        }
        map
    }

    fn get(&self, word: &str) -> Option<Class> {
        self.slots[self.slot(word)].map(|(_, class)| class)
    }

    /// The slot where the word is, or the free one where it would be.
    fn slot(&self, word: &str) -> usize {
        let mut slot = usize::try_from(hash(word) >> 32).expect("half a u64 fits in a usize") & self.mask;
        while self.slots[slot].is_some_and(|(w, _)| w != word) {
            slot = (slot + 1) & self.mask;
        }
        slot
    }
}

/// A fast hash for short words that come from our own lists; values from data are only looked up with it.
pub(super) fn hash(text: &str) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A fixed set of words or domains.
pub(super) struct WordSet(WordMap);

impl WordSet {
    /// A set over lists that live as long as the program.
    pub(super) fn new(words: impl IntoIterator<Item = &'static str>) -> Self {
        Self(WordMap::new(words.into_iter().map(|w| (w, Class::Content)).collect()))
    }

    /// Whether the set holds the word.
    pub(super) fn contains(&self, word: &str) -> bool {
        self.0.get(word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_list_wins_and_unknown_words_are_content() {
        assert_eq!(class("test"), Class::Strong);
        assert_eq!(class("demo"), Class::Soft);
        assert_eq!(class("tenant"), Class::Noun);
        assert_eq!(class("brennan"), Class::Content);
    }

    #[test]
    fn a_test_word_glued_to_a_noun_counts_and_a_longer_name_does_not() {
        for word in ["testtenant", "usertest", "fakecompany"] {
            assert_eq!(class(word), Class::Strong, "{word}");
        }
        assert_eq!(class("demouser"), Class::Soft);
        for word in ["testarossa", "demopolis", "qatar", "sampling", "testimony", "contest", "newton"] {
            assert_eq!(class(word), Class::Content, "{word}");
        }
    }
}

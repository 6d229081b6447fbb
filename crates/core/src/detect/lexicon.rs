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

use super::{erased, junk, placeholder, system, vocabulary};
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
    /// What is done to software: `load`, `regression`; a noun in all else.
    Activity,
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
    user users tenant tenants org orgs organization organisation organizations company companies \
    account accounts acct acc customer customers client clients workspace workspaces team \
    teams project projects member members person bot robot agent run case data record entry item row \
    suite env environment instance name firstname lastname surname first last email mail login username \
    signup registration guest visitor buyer seller vendor supplier student teacher patient employee \
    merchant business site store shop app application api db database benutzer kunde konto firma nutzer \
    mandant verein utilisateur compte entreprise societe société usuario cuenta empresa cliente conta \
    utente azienda gebruiker klant bedrijf uzytkownik użytkownik пользователь компания \
    worker thread browser screenshot subject candidate persona profile \
    shared trial basic premium pro free paid enterprise starter owner admin manager viewer \
    editor operator developer approver reviewer superuser \
    compañía compania organización organizacion organização organizacao compagnie organisatie mieter teilnehmer \
    mitglied kunden nutzerin abteilung mandanten usuário usuários empresas clientes cuentas compagnia società societa \
    organizzazione azienda klienci klientka użytkownicy firmy organizacja klant klanten gebruikers пользователи \
    клиент клиенты аккаунт организация фирма учетная запись арендатор ユーザー ユーザ 会社 企業 組織 テナント \
    アカウント 顧客 店舗 データ 太郎 花子 사용자 유저 회사 기업 조직 테넌트 계정 고객 상점 업체 데이터 매장 用户 公司 企业 \
    组织 租户 账号 账户 帐号 帐户 客户 店铺 数据 商户 用戶 帳號 客戶 組織名 会員 회원 会员 成员 管理员 \
    domain website server mailbox kullanıcı şirket şirketi hesap müşteri käyttäjä yritys felhasználó cég uživatel společnost \
    χρήστης εταιρεία مستخدم شركة حساب משתמש חברה ผู้ใช้ บริษัท pengguna perusahaan bruker bruger användare företag kund kunde selskap virksomhed";

const FILLERS: &str = "\
    me us now later a an the my our your this that is it new old some any only just for of to in on by with and or \
    please ignore do not use keep no yes number nr num id v from at one two three another other copy \
    final hello hi der die das ein eine mein meine le la les un une mon ma el los mi de il mio o um uma \
    meu het een \
    de del della di da dos du des pour para per von zum zur für van voor och og und et y";

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

/// Words for what is done to software, with which test tools name their rows: `load-user-4411`.
const ACTIVITIES: &str = "load performance perf integration unit regression automation automated automatic auto acceptance stress \
    benchmark bench seed fixture fixtures nightly";

const LEGAL: &str = "\
    corp corporation inc incorporated ltd limited llc llp lp plc co gmbh ag kg ohg ug mbh ev sa sarl sas srl sl slu bv nv \
    vof oy ab as aps kft zrt sro doo pty pvt pte kk gk oü ltda eirl ooo ооо sp zoo 株式会社 주식회사 有限公司";

/// All lists, strongest claim first.
const LISTS: &[(Class, &str)] = &[
    (Class::Strong, vocabulary::STRONG),
    (Class::Soft, vocabulary::SOFT),
    (Class::Junk, junk::WORDS),
    (Class::Placeholder, placeholder::WORDS),
    (Class::System, system::WORDS),
    (Class::Activity, ACTIVITIES),
    (Class::Noun, NOUNS),
    (Class::Filler, FILLERS),
    (Class::Legal, LEGAL),
    (Class::Trade, TRADES),
];

/// What is known of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub class: Class,
    /// Erasure writes it in place of a person's data.
    pub erased: bool,
    /// A test word and a noun run together.
    pub glued: bool,
}

static TABLE: LazyLock<Table<Known>> = LazyLock::new(|| {
    let mut words: Vec<(&'static str, Known)> = Vec::new();
    for (class, list) in LISTS {
        words.extend(
            list.split_whitespace().map(|w| (w, Known { class: *class, erased: false, glued: false })),
        );
    }
    // Words of erasure keep whatever other class they have.
    for erased in erased::WORDS.split_whitespace() {
        match words.iter_mut().find(|(word, _)| *word == erased) {
            Some((_, known)) => known.erased = true,
            None => words.push((erased, Known { class: Class::Content, erased: true, glued: false })),
        }
    }
    Table::new(words)
});

/// What is known of a word in lower case; a test word run together with a noun (`testtenant`) stays a test word.
pub(super) fn known(word: &str) -> Known {
    if let Some(known) = TABLE.get(word) {
        return known;
    }
    if let Some((class, frame)) = glued(word) {
        // `株式会社サンプル` is a company called so, as `Sample GmbH` is.
        let glued = word.is_ascii() || frame != Class::Legal;
        return Known { class, erased: false, glued };
    }
    let class = if junk::is_typed(word) { Class::Junk } else { Class::Content };
    Known { class, erased: false, glued: false }
}

/// The class of a word in lower case.
pub(super) fn class(word: &str) -> Class {
    known(word).class
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
    ("テスト", Class::Strong),
    ("테스트", Class::Strong),
    ("测试", Class::Strong),
    ("測試", Class::Strong),
    ("тест", Class::Strong),
    ("サンプル", Class::Soft),
    ("デモ", Class::Soft),
    ("샘플", Class::Soft),
    ("데모", Class::Soft),
    ("示例", Class::Soft),
    ("演示", Class::Soft),
    ("演示用", Class::Soft),
];

/// The class of the test word, and of what it is run together with.
fn glued(word: &str) -> Option<(Class, Class)> {
    let noun = |rest: &str| {
        let class = TABLE.get(rest).filter(|_| rest.len() >= 3)?.class;
        is_frame(rest, class).then_some(class)
    };
    let first = word.as_bytes().first();
    if matches!(first, Some(b't' | b'e' | b'd' | b'f' | b'l' | b'm' | b'q' | b's' | 0xd0..=0xed)) {
        // The first byte rules most out, which is cheaper than comparing texts.
        let mut likely = GLUE.iter().filter(|(glue, _)| glue.as_bytes().first() == first);
        let before = likely.find_map(|(glue, class)| Some((*class, word.strip_prefix(glue).and_then(noun)?)));
        if before.is_some() {
            return before;
        }
    }
    if first.is_some_and(u8::is_ascii) {
        // Shorter ones make other words by chance: `protest`.
        let before = word.strip_suffix("test").filter(|before| before.len() >= 4);
        return Some((Class::Strong, before.and_then(noun)?));
    }
    // Scripts without spaces put the test word behind as well: `株式会社テスト`, `会社テスト`.
    let frame = |rest: &str| {
        TABLE.get(rest).map(|known| known.class).filter(|class| matches!(class, Class::Noun | Class::Legal))
    };
    let mut behind = GLUE.iter().filter(|(glue, _)| !glue.is_ascii());
    behind.find_map(|(glue, class)| Some((*class, word.strip_suffix(glue).and_then(frame)?)))
}

/// Nouns, and the legal forms that are long enough to be meant.
fn is_frame(word: &str, class: Class) -> bool {
    matches!(class, Class::Noun | Class::Activity) || (class == Class::Legal && word.len() >= 4)
}

/// A fixed hash table from words to what is known of them.
pub(super) struct Table<V> {
    /// Part of the hash of the word in each slot; 0 where it is free.
    tags: Vec<u32>,
    words: Vec<Option<(&'static str, V)>>,
    mask: usize,
}

impl<V: Copy> Table<V> {
    /// A table over lists that live as long as the program; of equal words the first one counts.
    pub(super) fn new(words: Vec<(&'static str, V)>) -> Self {
        let size = (words.len() * 4).next_power_of_two();
        let mut table = Self { tags: vec![0; size], words: vec![None; size], mask: size - 1 };
        for (word, value) in words {
            let (mut slot, tag) = table.start(word);
            while table.words[slot].is_some_and(|(known, _)| known != word) {
                slot = (slot + 1) & table.mask;
            }
            table.tags[slot] = tag;
            table.words[slot].get_or_insert((word, value));
        }
        table
    }

    /// What is known of a word.
    pub(super) fn get(&self, word: &str) -> Option<V> {
        let (mut slot, tag) = self.start(word);
        loop {
            match self.tags[slot] {
                0 => return None,
                found if found == tag => {
                    if let Some((_, value)) = self.words[slot].filter(|(known, _)| *known == word) {
                        return Some(value);
                    }
                }
                _ => {}
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// The first slot to look at, and the tag to look for.
    fn start(&self, word: &str) -> (usize, u32) {
        let hash = place(word);
        let half = |part: u64| u32::try_from(part & 0xffff_ffff).expect("32 bits fit in a u32");
        let slot = usize::try_from(half(hash >> 32)).expect("32 bits fit in a usize") & self.mask;
        (slot, half(hash).max(1))
    }
}

pub(super) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A fast hash for short texts, for counting what has the same one.
pub(super) fn hash(text: &str) -> u64 {
    let (whole, rest) = text.as_bytes().as_chunks::<8>();
    let last = rest.iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
    mixed(text, whole.iter().map(|part| u64::from_le_bytes(*part)).chain([last]))
}

/// A faster one, for looking words up in tables of our own lists.
fn place(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let whole: &[[u8; 8]] = if bytes.len() > 8 { bytes.as_chunks().0 } else { &[] };
    mixed(text, whole.iter().map(|part| u64::from_le_bytes(*part)).chain([tail(bytes)]))
}

fn mixed(text: &str, parts: impl Iterator<Item = u64>) -> u64 {
    let length = u64::try_from(text.len()).unwrap_or(0);
    let eat = |state: u64, part: u64| {
        let state = (state ^ part).wrapping_mul(ODD);
        state ^ state >> 29
    };
    parts.fold(length, eat).wrapping_mul(ODD)
}

/// The last eight bytes; of fewer all, some of them twice, which is read without a loop.
pub(super) fn tail(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    match bytes {
        [first, .., last] => {
            u64::from(*first) | u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(*last) << 16
        }
        [one] => u64::from(*one),
        [] => 0,
    }
}

/// A fixed set of words.
pub(super) struct WordSet(Table<()>);

impl WordSet {
    /// A set over lists that live as long as the program.
    pub(super) fn new(words: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Table::new(words.into_iter().map(|w| (w, ())).collect()))
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
        for word in [
            "testtenant",
            "usertest",
            "fakecompany",
            "テストユーザー",
            "株式会社テスト",
            "测试公司",
            "테스트회사",
        ] {
            assert_eq!(class(word), Class::Strong, "{word}");
        }
        assert_eq!(class("demouser"), Class::Soft);
        for word in [
            "testarossa",
            "demopolis",
            "qatar",
            "sampling",
            "testimony",
            "contest",
            "protest",
            "newton",
            "测试技术",
        ] {
            assert_eq!(class(word), Class::Content, "{word}");
        }
    }
}

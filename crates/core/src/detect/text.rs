//! Cuts a value into words, numbers and mixed runs, and looks every word up once.
//!
//! Detectors work on words, never on substrings, which is what keeps `Testarossa` apart from `Test`. A field is
//! read once into reusable buffers; the class of each word comes from one hash table that all detectors share, by way
//! of a [`Memory`] of the words that were met last.
//!
//! Invariants
//! - linear in the text, and no more than `FIELD_CHARS_MAX` characters and `TOKENS_MAX` tokens are looked at;
//! - no allocation once the buffers have grown.
//!
//! Not here: which words exist (`lexicon`), what they are worth (one file per signal).

use super::lexicon::{Class, Known};
use super::memory::Memory;

/// Characters of a field that are looked at; what follows says nothing new about a name.
pub(super) const FIELD_CHARS_MAX: usize = 256;
/// Tokens of a field that are kept.
pub(super) const TOKENS_MAX: usize = 32;

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Letters only.
    Word,
    /// Digits only.
    Number,
    /// Letters and digits woven together, such as `3fa9c1`.
    Mixed,
}

/// A run of letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    start: usize,
    end: usize,
    pub kind: Kind,
    pub class: Class,
    erased: bool,
    glued: bool,
}

impl Token {
    /// Whether it is a test word run together with a noun: `testtenant`.
    pub(super) fn is_glued(&self) -> bool {
        self.glued
    }
}

/// The words of one field.
#[derive(Debug, Clone, Default)]
pub struct Words {
    text: String,
    pub tokens: Vec<Token>,
    pub counts: Counts,
}

/// How many tokens of each class a field holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub strong: usize,
    pub soft: usize,
    pub junk: usize,
    pub placeholder: usize,
    pub noun: usize,
    /// Nouns of testing; they count as nouns too.
    pub activity: usize,
    pub filler: usize,
    pub trade: usize,
    pub legal: usize,
    pub system: usize,
    pub number: usize,
    pub mixed: usize,
    /// Words that no list knows: what is left of a real name.
    pub content: usize,
    /// Words that erasure writes; they count in their class too.
    pub erased: usize,
}

impl Words {
    /// Reads a field, replacing what was read before.
    pub fn read(&mut self, raw: &str, memory: &mut Memory) {
        self.text.clear();
        self.tokens.clear();
        self.counts = Counts::default();
        if !raw.is_empty() {
            Reader { words: self, memory, chunk: Chunk::default(), run: None }.read(head(raw));
        }
    }

    /// The text of a token, in lower case.
    pub fn of(&self, token: Token) -> &str {
        &self.text[token.start..token.end]
    }

    /// All words and runs with their texts.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Token, &str)> {
        self.tokens.iter().map(|t| (*t, self.of(*t)))
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens run together: `test-tenant 5` gives `testtenant5`.
    pub fn joined(&self) -> &str {
        &self.text
    }
}

/// Cuts one field.
struct Reader<'a> {
    words: &'a mut Words,
    memory: &'a mut Memory,
    chunk: Chunk,
    /// Number of tokens before a run that a capital has cut.
    run: Option<usize>,
}

impl Reader<'_> {
    fn read(&mut self, raw: &str) {
        let bytes = raw.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let sort = Sort::of(bytes[at]);
            match sort {
                Sort::Lower | Sort::Upper | Sort::Digit => {
                    let end = alike(bytes, at, sort);
                    self.ascii(&raw[at..end], sort);
                    at = end;
                }
                Sort::Apart => {
                    if bytes[at] != b'\'' && !is_dot_between_letters(bytes, at) {
                        self.finish_run();
                    }
                    at += 1;
                }
                Sort::Beyond => {
                    let letter = raw[at..].chars().next().expect("the text does not end here");
                    self.letter(letter);
                    at += letter.len_utf8();
                }
            }
        }
        self.finish_run();
    }

    /// Takes in a stretch of letters or digits of one sort.
    fn ascii(&mut self, stretch: &str, sort: Sort) {
        if sort == Sort::Upper && self.chunk.last_lower {
            self.cut();
        }
        self.chunk.last_lower = sort == Sort::Lower;
        let text = &mut self.words.text;
        let before = text.len();
        text.push_str(stretch);
        match sort {
            Sort::Digit => self.chunk.digits += stretch.len(),
            Sort::Upper | Sort::Lower | Sort::Apart | Sort::Beyond => self.chunk.letters += stretch.len(),
        }
        if sort == Sort::Upper {
            text[before..].make_ascii_lowercase();
        }
    }

    /// Takes in one character that is not ASCII.
    fn letter(&mut self, letter: char) {
        if letter == '’' {
            return;
        }
        if !letter.is_alphanumeric() {
            return self.finish_run();
        }
        if letter.is_uppercase() && self.chunk.last_lower {
            self.cut();
        }
        self.chunk.last_lower = letter.is_lowercase();
        self.words.text.extend(letter.to_lowercase());
        self.chunk.letters += 1;
    }

    /// Ends a token where a capital stands behind small letters.
    fn cut(&mut self) {
        self.run.get_or_insert(self.words.tokens.len());
        self.finish();
    }

    /// Ends a run of letters and digits; `GmbH` was cut by its capitals and is put together again.
    fn finish_run(&mut self) {
        self.finish();
        let Some(first) = self.run.take() else { return };
        let words = &mut *self.words;
        let start = first.checked_sub(1).map_or(0, |before| words.tokens[before].end);
        if first < words.tokens.len() && self.memory.known(&words.text[start..]).class == Class::Legal {
            words.tokens.truncate(first);
            words.counts = Counts::default();
            for token in &words.tokens {
                let known = Known { class: token.class, erased: token.erased, glued: token.glued };
                words.counts.add(token.kind, known);
            }
            self.push(start, self.words.text.len(), Kind::Word);
        }
    }

    fn finish(&mut self) {
        let start = self.words.tokens.last().map_or(0, |t| t.end);
        let end = self.words.text.len();
        let Chunk { letters, digits, .. } = std::mem::take(&mut self.chunk);
        if start == end {
            return;
        }
        if letters > 0 && digits > 0 {
            self.finish_woven(start, end);
        } else {
            let kind = if digits > 0 { Kind::Number } else { Kind::Word };
            self.push(start, end, kind);
        }
    }

    /// `user17` is a word and a number, `e2e` a word, `3fa9c1` stays as it is.
    fn finish_woven(&mut self, start: usize, end: usize) {
        let text = &self.words.text[start..end];
        let whole = self.memory.known(text);
        if whole.class != Class::Content {
            return self.push_known((start, end), Kind::Word, whole);
        }
        if let Some(rest) = text.strip_prefix("e2e") {
            let kind = if rest.bytes().all(|b| b.is_ascii_digit()) { Kind::Number } else { Kind::Mixed };
            let machine =
                rest.bytes().all(|b| b.is_ascii_hexdigit()) && rest.bytes().any(|b| b.is_ascii_digit());
            if machine {
                self.push(start, start + 3, Kind::Word);
                return self.push(start + 3, end, kind);
            }
        }
        let bytes = text.as_bytes();
        let head = bytes.iter().position(u8::is_ascii_digit).unwrap_or(0);
        let tail_is_number = bytes[head..].iter().all(u8::is_ascii_digit);
        let hex = bytes.len() >= 6 && bytes.iter().all(u8::is_ascii_hexdigit);
        if head > 0 && tail_is_number {
            let known = self.memory.known(&text[..head]);
            if known.class != Class::Content || !hex {
                self.push_known((start, start + head), Kind::Word, known);
                return self.push(start + head, end, Kind::Number);
            }
        }
        let lead = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        if lead > 0 && self.memory.known(&text[lead..]).class != Class::Content {
            self.push(start, start + lead, Kind::Number);
            self.push(start + lead, end, Kind::Word);
            return;
        }
        self.push(start, end, Kind::Mixed);
    }

    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        let known = match kind {
            Kind::Word => self.memory.known(&self.words.text[start..end]),
            Kind::Number | Kind::Mixed => Known { class: Class::Content, erased: false, glued: false },
        };
        self.push_known((start, end), kind, known);
    }

    fn push_known(&mut self, (start, end): (usize, usize), kind: Kind, known: Known) {
        if self.words.tokens.len() >= TOKENS_MAX {
            return;
        }
        self.words.tokens.push(Token {
            start,
            end,
            kind,
            class: known.class,
            erased: known.erased,
            glued: known.glued,
        });
        self.words.counts.add(kind, known);
    }
}

/// What a byte is, as far as one can tell by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Lower,
    Upper,
    Digit,
    /// Stands between words, or is an apostrophe.
    Apart,
    /// Part of a character that is not ASCII.
    Beyond,
}

/// The sort of every byte, looked up faster than found out.
const SORTS: [Sort; 256] = {
    let mut sorts = [Sort::Apart; 256];
    let (mut byte, mut place) = (0_u8, 0);
    loop {
        sorts[place] = Sort::find(byte);
        if byte == u8::MAX {
            break sorts;
        }
        byte += 1;
        place += 1;
    }
};

impl Sort {
    fn of(byte: u8) -> Self {
        SORTS[usize::from(byte)]
    }

    const fn find(byte: u8) -> Self {
        match byte {
            b'a'..=b'z' => Self::Lower,
            b'A'..=b'Z' => Self::Upper,
            b'0'..=b'9' => Self::Digit,
            0..128 => Self::Apart,
            128.. => Self::Beyond,
        }
    }
}

/// Where the stretch of bytes of one sort ends.
fn alike(bytes: &[u8], start: usize, sort: Sort) -> usize {
    let other = bytes[start..].iter().position(|b| Sort::of(*b) != sort);
    other.map_or(bytes.len(), |length| start + length)
}

/// The dots of `S.A.` and `L.L.C.`, which are one word each.
fn is_dot_between_letters(bytes: &[u8], at: usize) -> bool {
    let is_single = |place: usize| {
        let apart = |place: Option<usize>| {
            place.and_then(|p| bytes.get(p)).is_none_or(|b| Sort::of(*b) == Sort::Apart)
        };
        bytes[place].is_ascii_alphabetic() && apart(place.checked_sub(1)) && apart(Some(place + 1))
    };
    bytes[at] == b'.' && at > 0 && at + 1 < bytes.len() && is_single(at - 1) && is_single(at + 1)
}

/// The part of a field that is looked at.
fn head(raw: &str) -> &str {
    if raw.len() <= FIELD_CHARS_MAX {
        return raw;
    }
    raw.char_indices().nth(FIELD_CHARS_MAX).map_or(raw, |(end, _)| &raw[..end])
}

/// Without spaces around it. Most values have none, which their first and last bytes tell.
pub fn trimmed(value: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    let bytes = value.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) { value } else { value.trim() }
}

/// Whether a short text stands in another one. The search of the standard library prepares itself for long ones.
pub(super) fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some((first, rest)) = part.split_first() else { return true };
    let Some(last) = text.len().checked_sub(part.len()) else { return false };
    text[..=last].iter().enumerate().any(|(at, byte)| byte == first && text[at + 1..].starts_with(rest))
}

#[derive(Debug, Clone, Copy, Default)]
struct Chunk {
    letters: usize,
    digits: usize,
    last_lower: bool,
}

impl Counts {
    fn add(&mut self, kind: Kind, known: Known) {
        self.erased += usize::from(known.erased);
        self.activity += usize::from(kind == Kind::Word && known.class == Class::Activity);
        // `testtenant` says both what it is and that it is a test.
        self.noun += usize::from(known.glued);
        let slot = match (kind, known.class) {
            (Kind::Number, _) => &mut self.number,
            (Kind::Mixed, _) => &mut self.mixed,
            (Kind::Word, Class::Strong) => &mut self.strong,
            (Kind::Word, Class::Soft) => &mut self.soft,
            (Kind::Word, Class::Junk) => &mut self.junk,
            (Kind::Word, Class::Placeholder) => &mut self.placeholder,
            (Kind::Word, Class::Noun | Class::Activity) => &mut self.noun,
            (Kind::Word, Class::Filler) => &mut self.filler,
            (Kind::Word, Class::Trade) => &mut self.trade,
            (Kind::Word, Class::Legal) => &mut self.legal,
            (Kind::Word, Class::System) => &mut self.system,
            (Kind::Word, Class::Content) => &mut self.content,
        };
        *slot += 1;
    }

    /// Nothing but known words, numbers and machine-made runs: no part of a real name is left.
    pub fn no_name_left(&self) -> bool {
        self.content == 0 && self.trade == 0 && self.system == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn cut(raw: &str) -> Vec<String> {
        let mut words = Words::default();
        words.read(raw, &mut Memory::default());
        words.iter().map(|(_, text)| text.to_owned()).collect()
    }

    #[test]
    fn words_numbers_and_runs_are_cut_apart() {
        assert_eq!(cut("Test Tenant 1712345678"), ["test", "tenant", "1712345678"]);
        assert_eq!(cut("user17"), ["user", "17"]);
        assert_eq!(cut("E2E Org 00d2be"), ["e2e", "org", "00d2be"]);
        assert_eq!(cut("TestUser_5"), ["test", "user", "5"]);
        assert_eq!(cut("O'Neil & Söhne"), ["oneil", "söhne"]);
        assert_eq!(cut("123test"), ["123", "test"]);
        assert_eq!(cut("Sandbox Toys GmbH"), ["sandbox", "toys", "gmbh"]);
        assert_eq!(cut("e2e1712"), ["e2e", "1712"]);
        assert_eq!(cut("Empresa Ejemplo S.A."), ["empresa", "ejemplo", "sa"]);
        assert_eq!(cut("J. R. Weber"), ["j", "r", "weber"]);
    }

    #[test]
    fn names_that_contain_a_test_word_are_one_word() {
        for name in ["Testarossa", "Demopolis", "Contest", "Attestation", "Fakenham", "Mockingbird"] {
            let mut words = Words::default();
            words.read(name, &mut Memory::default());
            assert_eq!(words.counts, Counts { content: 1, ..Counts::default() }, "{name}");
        }
    }

    #[test]
    fn a_megabyte_is_cut_short() {
        let mut words = Words::default();
        words.read(&"a1 ".repeat(400_000), &mut Memory::default());
        assert_eq!(words.tokens.len(), TOKENS_MAX);
        assert!(words.joined().len() <= FIELD_CHARS_MAX * 4);
    }
}

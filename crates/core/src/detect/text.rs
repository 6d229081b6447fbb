//! Cuts a value into words, numbers and mixed runs, and looks every word up once.
//!
//! Detectors work on words, never on substrings, which is what keeps `Testarossa` apart from `Test`. A field is
//! read once into reusable buffers; the class of each word comes from one hash table that all detectors share.
//!
//! Invariants
//! - linear in the text, and no more than `FIELD_CHARS_MAX` characters and `TOKENS_MAX` tokens are looked at;
//! - no allocation once the buffers have grown.
//!
//! Not here: which words exist (`lexicon`), what they are worth (one file per signal).

use super::lexicon::{self, Class};

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
    pub filler: usize,
    pub trade: usize,
    pub legal: usize,
    pub system: usize,
    pub number: usize,
    pub mixed: usize,
    /// Words that no list knows: what is left of a real name.
    pub content: usize,
}

impl Words {
    /// Reads a field, replacing what was read before.
    pub fn read(&mut self, raw: &str) {
        self.text.clear();
        self.tokens.clear();
        self.counts = Counts::default();
        let mut chunk = Chunk::default();
        // Number of tokens before a run that a capital has cut.
        let mut run = None;
        for letter in raw.chars().take(FIELD_CHARS_MAX) {
            if letter == '\'' || letter == '’' {
                continue;
            }
            if !letter.is_alphanumeric() {
                self.finish_run(&mut chunk, &mut run);
                continue;
            }
            let upper = letter.is_uppercase();
            if upper && chunk.last_lower {
                run.get_or_insert(self.tokens.len());
                self.finish(&mut chunk);
            }
            chunk.last_lower = letter.is_lowercase();
            if letter.is_ascii() {
                self.text.push(letter.to_ascii_lowercase());
            } else {
                self.text.extend(letter.to_lowercase());
            }
            chunk.digits += usize::from(letter.is_ascii_digit());
            chunk.letters += usize::from(!letter.is_ascii_digit());
        }
        self.finish_run(&mut chunk, &mut run);
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

    /// Ends a run of letters and digits; `GmbH` was cut by its capitals and is put together again.
    fn finish_run(&mut self, chunk: &mut Chunk, run: &mut Option<usize>) {
        self.finish(chunk);
        let Some(first) = run.take() else { return };
        let start = first.checked_sub(1).map_or(0, |before| self.tokens[before].end);
        if first < self.tokens.len() && lexicon::class(&self.text[start..]) == Class::Legal {
            self.tokens.truncate(first);
            self.counts = Counts::default();
            let kept: Vec<Token> = self.tokens.clone();
            kept.iter().for_each(|t| self.counts.add(t.kind, t.class));
            self.push(start, self.text.len(), Kind::Word);
        }
    }

    fn finish(&mut self, chunk: &mut Chunk) {
        let start = self.tokens.last().map_or(0, |t| t.end);
        let end = self.text.len();
        let (letters, digits) = (chunk.letters, chunk.digits);
        *chunk = Chunk::default();
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
        let text = &self.text[start..end];
        if lexicon::class(text) != Class::Content {
            return self.push(start, end, Kind::Word);
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
        let known_head = head > 0 && lexicon::class(&text[..head]) != Class::Content;
        if head > 0 && tail_is_number && (known_head || !hex) {
            self.push(start, start + head, Kind::Word);
            self.push(start + head, end, Kind::Number);
            return;
        }
        let lead = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        if lead > 0 && lexicon::class(&text[lead..]) != Class::Content {
            self.push(start, start + lead, Kind::Number);
            self.push(start + lead, end, Kind::Word);
            return;
        }
        self.push(start, end, Kind::Mixed);
    }

    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        if self.tokens.len() >= TOKENS_MAX {
            return;
        }
        let class = if kind == Kind::Word { lexicon::class(&self.text[start..end]) } else { Class::Content };
        self.tokens.push(Token { start, end, kind, class });
        self.counts.add(kind, class);
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Chunk {
    letters: usize,
    digits: usize,
    last_lower: bool,
}

impl Counts {
    fn add(&mut self, kind: Kind, class: Class) {
        let slot = match (kind, class) {
            (Kind::Number, _) => &mut self.number,
            (Kind::Mixed, _) => &mut self.mixed,
            (Kind::Word, Class::Strong) => &mut self.strong,
            (Kind::Word, Class::Soft) => &mut self.soft,
            (Kind::Word, Class::Junk) => &mut self.junk,
            (Kind::Word, Class::Placeholder) => &mut self.placeholder,
            (Kind::Word, Class::Noun) => &mut self.noun,
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
        words.read(raw);
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
    }

    #[test]
    fn names_that_contain_a_test_word_are_one_word() {
        for name in ["Testarossa", "Demopolis", "Contest", "Attestation", "Fakenham", "Mockingbird"] {
            let mut words = Words::default();
            words.read(name);
            assert_eq!(words.counts, Counts { content: 1, ..Counts::default() }, "{name}");
        }
    }

    #[test]
    fn a_megabyte_is_cut_short() {
        let mut words = Words::default();
        words.read(&"a1 ".repeat(400_000));
        assert_eq!(words.tokens.len(), TOKENS_MAX);
        assert!(words.joined().len() <= FIELD_CHARS_MAX * 4);
    }
}

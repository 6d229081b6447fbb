//! Damages good inputs: flipped bits, cut and doubled pieces, pieces of other inputs, words that parsers know.

/// Bytes of the longest input.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Pieces that parsers give a meaning to.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b"'",
    b"\\",
    b"\\N",
    b"\\.",
    b"\t",
    b"\n",
    b"\r\n",
    b",",
    b";",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"=",
    b"@",
    b"+",
    b".",
    b"..",
    b"/",
    b"%",
    b"%00",
    b"%F0%9F",
    b"?",
    b"&",
    b"#",
    b"*",
    b"-",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e999",
    b"18446744073709551616",
    b"9223372036854775807",
    b"\\ud800",
    b"\\u0000",
    "\u{202e}".as_bytes(),
    "e\u{301}".as_bytes(),
    "\u{fdfd}".as_bytes(),
    "\u{130}".as_bytes(),
    b"test",
    b"2026-02-30",
    b"+99:99",
    b"9999-12-31T23:59:60Z",
    b"-0001-01-01",
    b"example.com",
    b"xn--",
    b"''",
    b"->",
];

/// Makes one input after the other.
pub(crate) struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
    input: Vec<u8>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, name: &str, seeds: &[Vec<u8>]) -> Self {
        let state = name
            .bytes()
            .fold(seed ^ 0x9e37_79b9_7f4a_7c15, |s, b| (s ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self { state: state | 1, seeds: seeds.to_vec(), input: Vec::new() }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> &[u8] {
        let seed = self.below(self.seeds.len());
        self.input.clear();
        self.input.extend_from_slice(&self.seeds[seed]);
        for _ in 0..=self.below(6) {
            self.damage();
        }
        self.input.truncate(INPUT_BYTES_MAX);
        &self.input
    }

    fn damage(&mut self) {
        let at = self.below(self.input.len() + 1);
        match self.below(9) {
            0 if at < self.input.len() => self.input[at] ^= 1 << self.below(8),
            1 if at < self.input.len() => {
                let byte = self.below(256);
                self.input[at] = u8::try_from(byte).expect("it is below 256");
            }
            2 => {
                let end = (at + self.below(16)).min(self.input.len());
                self.input.drain(at..end);
            }
            3 => self.input.truncate(at),
            4 => {
                let (other, piece) = (self.below(self.seeds.len()), self.below(200));
                let from = self.below(self.seeds[other].len() + 1);
                let end = (from + piece).min(self.seeds[other].len());
                let piece = self.seeds[other][from..end].to_vec();
                self.put(at, &piece);
            }
            // What grows faster than its input shows itself where a piece comes again and again.
            5 => {
                let end = (at + 1 + self.below(24)).min(self.input.len());
                let times = 1 << self.below(11);
                let piece = self.input[at..end].repeat(times);
                self.put(at, &piece);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                self.put(at, piece);
            }
        }
    }

    fn put(&mut self, at: usize, piece: &[u8]) {
        if self.input.len() + piece.len() <= INPUT_BYTES_MAX {
            drop(self.input.splice(at..at, piece.iter().copied()));
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let limit = u64::try_from(limit.max(1)).expect("inputs are short");
        usize::try_from((self.state >> 11) % limit).expect("it is below a usize")
    }
}

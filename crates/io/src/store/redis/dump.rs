//! What a payload of DUMP holds: its type, and its content where the encoding is known.
//!
//! The payload itself is what is put back. Its content serves people, other versions of the server, and comparing: two
//! payloads of one set can differ in nothing but the order of their members. Streams, modules and hashes whose fields
//! expire are told by their type alone.
//!
//! Invariants
//! - damaged bytes are `None`, never a panic, and never a reason to reserve memory that is not there.

/// What a key holds, as `TYPE` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
    Module,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Module => "module",
        }
    }
}

/// The content of a key. Members of sets and hashes have no order of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    /// Members and their scores as text.
    Zset(Vec<(Vec<u8>, Vec<u8>)>),
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Content {
    /// The same content in an order that does not depend on how it is kept.
    pub(super) fn in_order(mut self) -> Self {
        match &mut self {
            Self::Set(members) => members.sort_unstable(),
            Self::Hash(pairs) | Self::Zset(pairs) => pairs.sort_unstable(),
            Self::String(_) | Self::List(_) => {}
        }
        self
    }
}

/// Version of the format and a checksum stand at the end.
const FOOTER_BYTES: usize = 10;

/// The type of a payload; none if it is of a later format than is known here.
pub(super) fn kind(payload: &[u8]) -> Option<Kind> {
    Some(match payload.first()? {
        0 => Kind::String,
        1 | 10 | 14 | 18 => Kind::List,
        2 | 11 | 20 => Kind::Set,
        3 | 5 | 12 | 17 => Kind::Zset,
        4 | 9 | 13 | 16 | 22 | 23 | 24 | 25 => Kind::Hash,
        15 | 19 | 21 => Kind::Stream,
        6 | 7 => Kind::Module,
        _ => return None,
    })
}

/// The content of a payload, where its encoding is known.
pub(super) fn content(payload: &[u8]) -> Option<Content> {
    let body = payload.get(..payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (encoding, rest) = body.split_first()?;
    let mut from = Bytes(rest);
    let content = match encoding {
        0 => Content::String(from.string()?),
        1 => Content::List(from.strings()?),
        2 => Content::Set(from.strings()?),
        3 => Content::Zset(from.scored(Bytes::score_text)?),
        5 => Content::Zset(from.scored(Bytes::score_binary)?),
        4 => Content::Hash(pairs(from.twice_strings()?)?),
        10 => Content::List(ziplist(&from.string()?)?),
        11 => Content::Set(intset(&from.string()?)?),
        12 => Content::Zset(pairs(ziplist(&from.string()?)?)?),
        13 => Content::Hash(pairs(ziplist(&from.string()?)?)?),
        14 => Content::List(from.nodes(|node| ziplist(&node.string()?))?),
        16 => Content::Hash(pairs(listpack(&from.string()?)?)?),
        17 => Content::Zset(pairs(listpack(&from.string()?)?)?),
        18 => Content::List(from.nodes(Bytes::quicklist_node)?),
        20 => Content::Set(listpack(&from.string()?)?),
        _ => return None,
    };
    from.0.is_empty().then_some(content)
}

fn pairs(flat: Vec<Vec<u8>>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    let mut flat = flat.into_iter();
    while let Some(first) = flat.next() {
        pairs.push((first, flat.next()?));
    }
    Some(pairs)
}

/// A length, or what takes its place.
enum Length {
    Plain(usize),
    Special(u8),
}

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|one| one[0])
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length_or_special(&mut self) -> Option<Length> {
        let first = self.byte()?;
        Some(match first >> 6 {
            0 => Length::Plain(usize::from(first & 0x3f)),
            1 => Length::Plain(usize::from(first & 0x3f) << 8 | usize::from(self.byte()?)),
            2 if first == 0x80 => Length::Plain(usize::try_from(u32::from_be_bytes(self.array()?)).ok()?),
            2 if first == 0x81 => Length::Plain(usize::try_from(u64::from_be_bytes(self.array()?)).ok()?),
            2 => return None,
            _ => Length::Special(first & 0x3f),
        })
    }

    fn length(&mut self) -> Option<usize> {
        match self.length_or_special()? {
            Length::Plain(length) => Some(length),
            Length::Special(_) => None,
        }
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        match self.length_or_special()? {
            Length::Plain(length) => self.take(length).map(<[u8]>::to_vec),
            Length::Special(0) => Some(text(i64::from(i8::from_le_bytes(self.array()?)))),
            Length::Special(1) => Some(text(i64::from(i16::from_le_bytes(self.array()?)))),
            Length::Special(2) => Some(text(i64::from(i32::from_le_bytes(self.array()?)))),
            Length::Special(3) => {
                let packed = self.length()?;
                let length = self.length()?;
                unpacked(self.take(packed)?, length)
            }
            Length::Special(_) => None,
        }
    }

    fn strings(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.length()?;
        (0..count).map(|_| self.string()).collect()
    }

    fn twice_strings(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.length()?.checked_mul(2)?;
        (0..count).map(|_| self.string()).collect()
    }

    fn scored(&mut self, score: impl Fn(&mut Self) -> Option<Vec<u8>>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let count = self.length()?;
        (0..count).map(|_| Some((self.string()?, score(self)?))).collect()
    }

    fn score_binary(&mut self) -> Option<Vec<u8>> {
        let score = f64::from_le_bytes(self.array()?);
        Some(score.to_string().into_bytes())
    }

    fn score_text(&mut self) -> Option<Vec<u8>> {
        Some(match self.byte()? {
            253 => b"nan".to_vec(),
            254 => b"inf".to_vec(),
            255 => b"-inf".to_vec(),
            length => self.take(usize::from(length))?.to_vec(),
        })
    }

    fn nodes(&mut self, node: impl Fn(&mut Self) -> Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
        let count = self.length()?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.extend(node(self)?);
        }
        Some(elements)
    }

    /// An element of its own, or a pack of them.
    fn quicklist_node(&mut self) -> Option<Vec<Vec<u8>>> {
        match self.length()? {
            1 => Some(vec![self.string()?]),
            2 => listpack(&self.string()?),
            _ => None,
        }
    }

    fn signed(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let taken = self.take(bytes)?;
        let is_negative = taken.last()? & 0x80 != 0;
        let mut whole = [if is_negative { 0xff } else { 0 }; 8];
        whole.get_mut(..bytes)?.copy_from_slice(taken);
        Some(text(i64::from_le_bytes(whole)))
    }
}

fn text(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// LZF: runs of literals, and references to what came before.
fn unpacked(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    // A reference of three bytes makes 264 at most, so a length beyond that is a lie.
    if length > packed.len().checked_mul(264)? {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    let mut from = Bytes(packed);
    while let Some(control) = from.byte() {
        let control = usize::from(control);
        if control < 32 {
            out.extend_from_slice(from.take(control + 1)?);
            continue;
        }
        let mut count = control >> 5;
        if count == 7 {
            count += usize::from(from.byte()?);
        }
        let distance = ((control & 0x1f) << 8 | usize::from(from.byte()?)) + 1;
        let start = out.len().checked_sub(distance)?;
        for at in start..start + count + 2 {
            out.push(out[at]);
        }
    }
    (out.len() == length).then_some(out)
}

fn intset(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut from = Bytes(bytes);
    let width = usize::try_from(u32::from_le_bytes(from.array()?)).ok()?;
    let count = usize::try_from(u32::from_le_bytes(from.array()?)).ok()?;
    if !matches!(width, 2 | 4 | 8) {
        return None;
    }
    (0..count).map(|_| from.signed(width)).collect()
}

fn listpack(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut from = Bytes(bytes);
    from.take(6)?;
    let mut elements = Vec::new();
    loop {
        let before = from.0.len();
        let first = from.byte()?;
        let element = match first {
            0xff => return from.0.is_empty().then_some(elements),
            0xf0 => {
                let length = usize::try_from(u32::from_le_bytes(from.array()?)).ok()?;
                from.take(length)?.to_vec()
            }
            0xf1..=0xf3 => from.signed(usize::from(first - 0xf1) + 2)?,
            0xf4 => from.signed(8)?,
            _ if first & 0x80 == 0 => text(i64::from(first)),
            _ if first & 0xc0 == 0x80 => from.take(usize::from(first & 0x3f))?.to_vec(),
            _ if first & 0xe0 == 0xc0 => {
                let number = i64::from(first & 0x1f) << 8 | i64::from(from.byte()?);
                text(if number >= 1 << 12 { number - (1 << 13) } else { number })
            }
            _ if first & 0xf0 == 0xe0 => {
                let length = usize::from(first & 0x0f) << 8 | usize::from(from.byte()?);
                from.take(length)?.to_vec()
            }
            _ => return None,
        };
        elements.push(element);
        // How long the entry is stands behind it, for reading backwards.
        let back = match before - from.0.len() {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        };
        from.take(back)?;
    }
}

fn ziplist(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut from = Bytes(bytes);
    from.take(10)?;
    let mut elements = Vec::new();
    loop {
        match from.byte()? {
            0xff => return from.0.is_empty().then_some(elements),
            0xfe => {
                from.take(4)?;
            }
            _ => {}
        }
        let first = from.byte()?;
        elements.push(match first {
            0xc0 => from.signed(2)?,
            0xd0 => from.signed(4)?,
            0xe0 => from.signed(8)?,
            0xf0 => from.signed(3)?,
            0xfe => from.signed(1)?,
            0xf1..=0xfd => text(i64::from(first & 0x0f) - 1),
            _ => {
                let length = match first >> 6 {
                    0 => usize::from(first & 0x3f),
                    1 => usize::from(first & 0x3f) << 8 | usize::from(from.byte()?),
                    2 => usize::try_from(u32::from_be_bytes(from.array()?)).ok()?,
                    _ => return None,
                };
                from.take(length)?.to_vec()
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTER: [u8; FOOTER_BYTES] = [10, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn payload(body: &[u8]) -> Vec<u8> {
        [body, &FOOTER].concat()
    }

    #[test]
    fn strings_of_every_kind() {
        let string = |body: &[u8]| content(&payload(body));
        let plain = |text: &str| Some(Content::String(text.as_bytes().to_vec()));
        assert_eq!(string(&[0, 2, b'a', b'b']), plain("ab"));
        assert_eq!(string(&[0, 0xc0, 0xff]), plain("-1"));
        assert_eq!(string(&[0, 0xc1, 0x00, 0x80]), plain("-32768"));
        assert_eq!(string(&[0, 0xc2, 1, 0, 0, 0]), plain("1"));
        // `aaaaaaaaaa`: one literal, and a reference to it.
        assert_eq!(string(&[0, 0xc3, 5, 10, 0, b'a', 0xe0, 0, 0]), plain("aaaaaaaaaa"));
        assert_eq!(string(&[0, 3, b'a', b'b']), None);
        assert_eq!(string(&[0, 1, b'a', b'b']), None);
        assert_eq!(string(&[0, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn packs_of_old_and_new_servers() {
        let pack = [15, 0, 0, 0, 2, 0, 0x81, b'a', 2, 5, 1, 0xdf, 0xff, 2, 0xff];
        let body = [&[20, 15][..], &pack].concat();
        assert_eq!(
            content(&payload(&body)),
            Some(Content::Set(vec![b"a".to_vec(), b"5".to_vec(), b"-1".to_vec()]))
        );
        let list = [16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, b'a', 3, 0xf3, 0xff];
        let body = [&[10, 16][..], &list].concat();
        assert_eq!(content(&payload(&body)), Some(Content::List(vec![b"a".to_vec(), b"2".to_vec()])));
        let ints = [2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xfe, 0xff];
        let body = [&[11, 12][..], &ints].concat();
        assert_eq!(content(&payload(&body)), Some(Content::Set(vec![b"1".to_vec(), b"-2".to_vec()])));
    }

    #[test]
    fn damaged_payloads_are_none() {
        for length in 0..11 {
            assert_eq!(content(&vec![4; length]), None);
        }
        let huge = [1, 0x80, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(content(&payload(&huge)), None);
        assert_eq!(content(&payload(&[200, 1])), None);
    }
}

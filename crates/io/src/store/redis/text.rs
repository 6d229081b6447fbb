//! Keys and values as text: quoted as `redis-cli` reads them, whatever bytes they hold.
//!
//! Invariants
//! - quoted text holds neither a line end nor a tab nor a `|`, so that lines, columns and commands can be told apart;
//! - what was quoted is unquoted to the same bytes.

use memchr::memchr;

/// Appends the bytes in quotes.
pub(super) fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    escape(out, bytes);
    out.push(b'"');
}

/// Appends the bytes as they stand within quotes.
pub(super) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if PLAIN[usize::from(*byte)] {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.extend_from_slice(&[
                b'\\',
                b'x',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

/// Bytes that stand for themselves.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = !(byte == 0x22 || byte == 0x5c || byte == 0x7c);
        byte += 1;
    }
    plain
};

/// The bytes of a quoted text; none if it is not one.
pub(super) fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let mut inside = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut bytes = Vec::with_capacity(inside.len());
    while let Some(at) = memchr(b'\\', inside) {
        let (plain, rest) = inside.split_at(at);
        bytes.extend_from_slice(plain);
        match rest {
            [_, b'x', high, low, after @ ..] => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                inside = after;
            }
            [_, character @ (b'"' | b'\\'), after @ ..] => {
                bytes.push(*character);
                inside = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(inside);
    (memchr(b'"', inside).is_none()).then_some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// The arguments of a command, each in quotes, with one space between them.
pub(super) fn arguments(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut rest = command;
    loop {
        let mut end = 1;
        if rest.first() != Some(&b'"') {
            return None;
        }
        // The end is the first quote that no backslash stands before.
        loop {
            match rest.get(end)? {
                b'\\' => end += 2,
                b'"' => break,
                _ => end += 1,
            }
        }
        arguments.push(unquote(&rest[..=end])?);
        rest = &rest[end + 1..];
        match rest {
            [] => return Some(arguments),
            [b' ', after @ ..] => rest = after,
            _ => return None,
        }
    }
}

/// A key for people, shortened.
pub(super) fn shown(key: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 120;
    let mut text = Vec::new();
    escape(&mut text, &key[..key.len().min(SHOWN_BYTES_MAX)]);
    let mut text = String::from_utf8(text).expect("escaped text is ASCII");
    if key.len() > SHOWN_BYTES_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain(*b"a\"b\\|\n").collect();
        let mut quoted = Vec::new();
        quote(&mut quoted, &all);
        assert!(quoted.is_ascii() && !quoted.iter().any(|byte| b"\n\t|".contains(byte)));
        assert_eq!(unquote(&quoted).unwrap(), all);
        let command = [quoted.clone(), quoted].join(&b' ');
        assert_eq!(arguments(&command).unwrap(), [all.clone(), all]);
    }

    #[test]
    fn damaged_text_is_none() {
        for text in ["", "\"", "a", "\"a", "\"\\\"", "\"\\x4\"", "\"\\xzz\"", "\"\\n\"", "\"a\"b\""] {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
        for text in ["", "\"a\" ", "\"a\"\"b\"", "\"a", "\"a\"  \"b\"", "\"a\\"] {
            assert_eq!(arguments(text.as_bytes()), None, "{text}");
        }
    }
}

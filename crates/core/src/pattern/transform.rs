//! What can happen to a value on its way into a key.

use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;
use std::borrow::Cow;

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A change of a value; hashes are lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    Lower,
    Upper,
    Trim,
    UrlEncode,
    Md5,
    Sha1,
    Sha256,
}

/// Names as they stand in patterns.
const NAMES: [(&str, Transform); 7] = [
    ("lower", Transform::Lower),
    ("upper", Transform::Upper),
    ("trim", Transform::Trim),
    ("urlencode", Transform::UrlEncode),
    ("md5", Transform::Md5),
    ("sha1", Transform::Sha1),
    ("sha256", Transform::Sha256),
];

impl Transform {
    /// The transform of this name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, transform)| *transform)
    }

    /// All names, for messages.
    pub fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }

    /// The changed value.
    pub fn apply(self, value: &str) -> String {
        match self {
            Self::Lower => value.to_lowercase(),
            Self::Upper => value.to_uppercase(),
            Self::Trim => value.trim().to_owned(),
            Self::UrlEncode => utf8_percent_encode(value, RESERVED).to_string(),
            Self::Md5 => hex(&Md5::digest(value.as_bytes())),
            Self::Sha1 => hex(&Sha1::digest(value.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(value.as_bytes())),
        }
    }
}

/// Applies transforms from left to right. What was empty before a hash is empty after it: the hash of nothing is no name.
pub(super) fn all<'a>(transforms: &[Transform], value: &'a str) -> Cow<'a, str> {
    let mut changed = Cow::Borrowed(value);
    for transform in transforms {
        if changed.trim().is_empty() {
            return Cow::Borrowed("");
        }
        changed = Cow::Owned(transform.apply(&changed));
    }
    changed
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_changed_from_left_to_right() {
        let done = |names: &[&str], value: &str| {
            let transforms: Vec<Transform> =
                names.iter().map(|name| Transform::named(name).unwrap()).collect();
            all(&transforms, value).into_owned()
        };
        assert_eq!(done(&["trim", "lower"], " Änn@X.com "), "änn@x.com");
        assert_eq!(done(&["upper"], "straße"), "STRASSE");
        assert_eq!(done(&["urlencode"], "a b/ü~"), "a%20b%2F%C3%BC~");
        assert_eq!(done(&["lower", "md5"], "A"), "0cc175b9c0f1b6a831c399e269772661");
        assert_eq!(done(&["sha1"], "a"), "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
        assert_eq!(
            done(&["sha256"], "a"),
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
        );
        assert_eq!(Transform::named("LOWER"), None);
    }

    #[test]
    fn the_hash_of_nothing_is_nothing() {
        assert_eq!(all(&[Transform::Sha256], ""), "");
        assert_eq!(all(&[Transform::Trim, Transform::Md5], "  "), "");
    }
}

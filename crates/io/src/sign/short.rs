//! Private keys of elliptic curves, however short their number is.
//!
//! OpenSSH writes the number of a key without leading zeros (PROTOCOL.key, RFC 4251 `mpint`), and `ssh-key` 0.6 reads as
//! many bytes as the curve has: it refuses one key of P-521 in four, and one of P-256 in 512. Here the zeros are put back
//! first.
//!
//! Invariants
//! - copies of the number are overwritten when they are no longer needed.

use base64ct::{Base64, Encoding as _};
use ssh_key::PrivateKey;
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// What is not locked is padded to a multiple of this.
const BLOCK_BYTES: usize = 8;

/// Reads a private key as OpenSSH writes it.
///
/// # Errors
/// What `ssh-key` says of a text that is none.
pub(super) fn private_key(text: &str) -> Result<PrivateKey, ssh_key::Error> {
    PrivateKey::from_openssh(text).or_else(|error| match lengthened(text) {
        Some(bytes) => PrivateKey::from_bytes(&bytes),
        None => Err(error),
    })
}

/// The same key with as many bytes as its curve has; `None` if it is locked or no key of an elliptic curve.
fn lengthened(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // With enough capacity nothing is moved, here and below, which would leave a copy behind.
    let mut dense = Zeroizing::new(String::with_capacity(text.len()));
    dense.extend(text.lines().map(str::trim).filter(|line| !line.starts_with('-')));
    let bytes = Zeroizing::new(Base64::decode_vec(&dense).ok()?);
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let cipher = string(&mut rest)?;
    let (_kdf, _options) = (string(&mut rest)?, string(&mut rest)?);
    let keys = number(&mut rest)?;
    let _public = string(&mut rest)?;
    let head = &bytes[..bytes.len() - rest.len()];
    let mut rest = string(&mut rest)?;
    let check = rest.split_off(..8)?;
    let (kind, curve, point) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let (short, comment) = (string(&mut rest)?, string(&mut rest)?);
    if cipher != b"none" || keys != 1 || !kind.starts_with(b"ecdsa-sha2-nistp") {
        return None;
    }
    // A point is a byte and two numbers of the curve.
    let size = point.len().checked_sub(1)? / 2;
    let zeros = size.checked_sub(short.len())?;
    let mut private = Zeroizing::new(Vec::with_capacity(bytes.len() + zeros + BLOCK_BYTES));
    private.extend_from_slice(check);
    for (zeros, part) in [(0, kind), (0, curve), (0, point), (zeros, short), (0, comment)] {
        private.extend_from_slice(&u32::try_from(zeros + part.len()).ok()?.to_be_bytes());
        private.extend(std::iter::repeat_n(0, zeros));
        private.extend_from_slice(part);
    }
    let padding = private.len().next_multiple_of(BLOCK_BYTES) - private.len();
    private.extend(1..=u8::try_from(padding).ok()?);
    let mut key = Zeroizing::new(Vec::with_capacity(head.len() + 4 + private.len()));
    key.extend_from_slice(head);
    key.extend_from_slice(&u32::try_from(private.len()).ok()?.to_be_bytes());
    key.extend_from_slice(&private);
    Some(key)
}

/// Takes a number of four bytes off the front.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = rest.split_off(..4)?;
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

/// Takes a string with its length before it off the front.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)?;
    rest.split_off(..length)
}

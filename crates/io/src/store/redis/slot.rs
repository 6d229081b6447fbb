//! Which slot of a cluster a key belongs to.

const SLOTS: u16 = 16_384;

/// The slot of a key: of what stands between its first braces, or of all of it.
pub(super) fn of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        let close = inside.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inside[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16 as the XMODEM protocol has it.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn slots_are_those_of_the_server() {
        // As `CLUSTER KEYSLOT` answers.
        let known = [("123456789", 12739), ("foo", 12182), ("{foo}:bar", 12182), ("", 0)];
        for (key, slot) in known {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(of(b"a{b}c{d}"), of(b"b"));
        assert_ne!(of(b"{}a"), of(b""));
    }
}

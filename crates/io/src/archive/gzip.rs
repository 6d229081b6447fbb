//! gzip in independent members of about 1 MiB.
//!
//! Any `gunzip` reads the members one after another as one text. Each also says in its header how long it
//! is, so that reading needs the memory of one member, whatever the size of the file.
//!
//! Invariants
//! - a member holds at most [`MEMBER_BYTES`] bytes of text; a longer one in a file is refused;
//! - a member is checked against its own CRC and length when it is read.
//!
//! Not here: files, hashes (`writer`, `reader`).

use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};
use std::io::{self, Read};

/// Text in one member.
pub(super) const MEMBER_BYTES: usize = 1 << 20;

/// Magic, deflate, "extra field follows", no time, fastest, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 4, 255];
/// An extra field of 8 bytes: subfield `US` of 4 bytes, which are the length of the whole member.
const EXTRA: [u8; 6] = [8, 0, b'U', b'S', 4, 0];
const FRONT: usize = HEAD.len() + EXTRA.len() + 4;
const BACK: usize = 8;

/// Makes members.
pub(super) struct Packer {
    compressor: Compressor,
    room: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        // The crate's own `fastest` is level 0, which does not compress at all.
        let level = CompressionLvl::new(1).expect("level 1 exists");
        Self { compressor: Compressor::new(level), room: Vec::new() }
    }

    /// One member that holds `text`.
    pub(super) fn pack(&mut self, text: &[u8]) -> &[u8] {
        assert!(text.len() <= MEMBER_BYTES, "text is cut into members before");
        let bound = self.compressor.deflate_compress_bound(text.len());
        self.room.resize(FRONT + bound + BACK, 0);
        let packed = self
            .compressor
            .deflate_compress(text, &mut self.room[FRONT..FRONT + bound])
            .expect("the room is as large as the compressor asked for");
        let end = FRONT + packed;
        self.room[..HEAD.len()].copy_from_slice(&HEAD);
        self.room[HEAD.len()..HEAD.len() + EXTRA.len()].copy_from_slice(&EXTRA);
        self.room[FRONT - 4..FRONT].copy_from_slice(&number(end + BACK));
        let mut crc = Crc::new();
        crc.update(text);
        self.room[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        self.room[end + 4..end + BACK].copy_from_slice(&number(text.len()));
        &self.room[..end + BACK]
    }
}

fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a member is about 1 MiB").to_le_bytes()
}

fn length(bytes: &[u8]) -> usize {
    let bytes: [u8; 4] = bytes.try_into().expect("the caller cuts out four bytes");
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Reads members.
pub(super) struct Unpacker<R> {
    source: R,
    decompressor: Decompressor,
    packed: Vec<u8>,
}

impl<R: Read> Unpacker<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decompressor: Decompressor::new(), packed: Vec::new() }
    }

    /// The text of the next member; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut front = [0; FRONT];
        match self.source.read(&mut front)? {
            0 => return Ok(None),
            some => self.source.read_exact(&mut front[some..])?,
        }
        let whole = length(&front[FRONT - 4..]);
        let known = front.starts_with(&HEAD) && front[HEAD.len()..].starts_with(&EXTRA);
        if !known || !(FRONT + BACK..=2 * MEMBER_BYTES).contains(&whole) {
            return Err(not_ours());
        }
        self.packed.resize(whole - FRONT, 0);
        self.source.read_exact(&mut self.packed)?;
        self.unpack().map(Some)
    }

    fn unpack(&mut self) -> io::Result<Vec<u8>> {
        let (body, back) = self.packed.split_at(self.packed.len() - BACK);
        let size = length(&back[4..]);
        if size > MEMBER_BYTES {
            return Err(not_ours());
        }
        let mut text = vec![0; size];
        let unpacked = self.decompressor.deflate_decompress(body, &mut text).map_err(|_| not_ours())?;
        let mut crc = Crc::new();
        crc.update(&text);
        if unpacked != size || crc.sum().to_le_bytes() != back[..4] {
            return Err(not_ours());
        }
        Ok(text)
    }
}

fn not_ours() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a gzip member of ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(bytes);
        let mut text = Vec::new();
        while let Some(member) = unpacker.next()? {
            text.extend(member);
        }
        Ok(text)
    }

    #[test]
    fn members_come_back_as_they_were() {
        let mut packer = Packer::new();
        let texts = [Vec::new(), b"one\ttwo\n".to_vec(), vec![b'z'; MEMBER_BYTES]];
        let file: Vec<u8> = texts.iter().flat_map(|t| packer.pack(t).to_vec()).collect();
        assert_eq!(unpack(&file).unwrap(), texts.concat());
    }

    #[test]
    fn text_gets_smaller() {
        let text = b"17\tTest Tenant 1712345678\tfree\n".repeat(1000);
        assert!(Packer::new().pack(&text).len() * 10 < text.len());
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed_or_harmless() {
        let mut packer = Packer::new();
        let text = b"the same text again and again and again".repeat(20);
        let file = packer.pack(&text).to_vec();
        for index in 0..file.len() {
            let mut changed = file.clone();
            changed[index] ^= 0x40;
            // A few bits of deflate's own tables mean nothing; all that matters is that no wrong text comes out.
            assert!(unpack(&changed).map_or(true, |read| read == text), "byte {index}");
            assert!(index == 0 || unpack(&file[..index]).is_err(), "cut at {index}");
        }
    }
}

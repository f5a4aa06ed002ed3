//! A value in sled, byte by byte. sled has no checksums that reach the reader, and moves values over a quarter of
//! a segment into files of their own that it never syncs: so each value carries a checksum, and none is over 8 KiB.
//!
//! ```text
//! in the tree of entries, under the key:
//!   0   4  CRC-32 of the key's length (4), the key, and bytes 4 to the end
//!   4   1  0: the value follows; 1: it is in chunks
//!   5   .  the value; or its length (8), its CRC-32 (4)
//!
//! in the tree of chunks, under the key's length (4, big-endian), the key, and the chunk's number (4, big-endian):
//!   0   4  CRC-32 of the length and the bytes of that long key, and of bytes 4 to the end
//!   4   .  up to 8,187 bytes of the value
//! ```

use bytes::{Buf, BufMut};

/// What an entry in sled takes, at most.
pub const VALUE_BYTES_MAX: usize = 8 << 10;
/// What a value takes beside itself.
const HEAD_BYTES: usize = 5;
/// What one entry holds of a value, at most.
pub const CHUNK_BYTES_MAX: usize = VALUE_BYTES_MAX - HEAD_BYTES;

/// A value as it stands in the tree of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored<'a> {
    /// The value.
    Whole(&'a [u8]),
    /// Its length and CRC-32: it is in the tree of chunks.
    Chunked(u64, u32),
}

impl Stored<'_> {
    /// How a value is stored.
    pub fn of(value: &[u8]) -> Stored<'_> {
        match value.len() <= CHUNK_BYTES_MAX {
            true => Stored::Whole(value),
            false => Stored::Chunked(value.len() as u64, crc32fast::hash(value)),
        }
    }

    /// The bytes under `key`.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 4];
        match self {
            Stored::Whole(value) => {
                out.put_u8(0);
                out.extend_from_slice(value);
            }
            Stored::Chunked(bytes, crc) => {
                out.put_u8(1);
                out.put_u64_le(*bytes);
                out.put_u32_le(*crc);
            }
        }
        sign(key, &mut out);
        out
    }

    /// What stands under `key`; None where it is damaged.
    pub fn decode<'a>(key: &[u8], bytes: &'a [u8]) -> Option<Stored<'a>> {
        let said = check(key, bytes)?;
        match said.split_first()? {
            (0, value) => Some(Stored::Whole(value)),
            (1, mut fields) if fields.len() == 12 => Some(Stored::Chunked(fields.get_u64_le(), fields.get_u32_le())),
            _ => None,
        }
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u32 {
        match self {
            Stored::Whole(_) => 0,
            Stored::Chunked(bytes, _) => bytes.div_ceil(CHUNK_BYTES_MAX as u64) as u32,
        }
    }
}

/// The key of a chunk.
pub fn chunk_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 8);
    out.put_u32(key.len() as u32);
    out.extend_from_slice(key);
    out.put_u32(number);
    out
}

/// A chunk's bytes under its key.
pub fn encode_chunk(chunk_key: &[u8], chunk: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(chunk);
    sign(chunk_key, &mut out);
    out
}

/// A chunk; None where it is damaged.
pub fn decode_chunk<'a>(chunk_key: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    check(chunk_key, bytes)
}

fn crc(key: &[u8], said: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(said);
    hasher.finalize().to_le_bytes()
}

fn sign(key: &[u8], out: &mut [u8]) {
    let crc = crc(key, &out[4..]);
    out[..4].copy_from_slice(&crc);
}

fn check<'a>(key: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (said_crc, said) = bytes.split_at_checked(4)?;
    (crc(key, said) == said_crc).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_no_flipped_bit_is_believed() {
        let long = vec![5; CHUNK_BYTES_MAX + 1];
        for value in [&b""[..], b"x", &long] {
            let stored = Stored::of(value);
            let bytes = stored.encode(b"key");
            assert!(bytes.len() <= VALUE_BYTES_MAX);
            assert_eq!(Stored::decode(b"key", &bytes), Some(stored));
            assert_eq!(Stored::decode(b"yek", &bytes), None, "it is another key's");
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Stored::decode(b"key", &flipped), None, "bit {bit}");
            }
        }
        assert_eq!((Stored::of(&long).chunks(), Stored::of(b"x").chunks()), (2, 0));
    }
}

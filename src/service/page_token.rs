//! Page tokens: where the next page begins, bound to the request and pinned to revision and evaluate time. They hang
//! on nothing but the request, so they outlive a restart.
//!
//! ```text
//! 0       1..17            17..25        25..33         33..41     41       42..50   50..54
//! format  request digest   revision      evaluate time  group      has row  row      CRC-32 of all before
//! ```
//! Integers are big-endian; as text it is lower-case hexadecimal.

use crate::domain::time::Time;
use crate::query::page::{Pin, Position};
use crate::query::{Fault, Reason};
use prost::Message;
use sha2::{Digest as _, Sha256};

const FORMAT: u8 = 1;
const BYTES: usize = 54;

/// What a token belongs to: a call, and its request without `page_size` and `page_token`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    call: &'static str,
    request: Vec<u8>,
}

type Digest = [u8; 16];

impl Bound {
    /// To `request`, of which page size and token are to be left out.
    pub fn to(call: &'static str, request: &impl Message) -> Bound {
        Bound { call, request: request.encode_to_vec() }
    }

    /// Made where there is a token: most questions have none.
    fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.call.as_bytes());
        hash.update([0]);
        hash.update(&self.request);
        let digest: [u8; 32] = hash.finalize().into();
        let mut bound = [0; 16];
        bound.copy_from_slice(&digest[..16]);
        bound
    }

    /// The token of a page.
    pub fn write(&self, pin: Pin) -> String {
        let Pin { revision, evaluate_time, position } = pin;
        let mut bytes = vec![FORMAT];
        bytes.extend(self.digest());
        bytes.extend(revision.to_be_bytes());
        bytes.extend(evaluate_time.0.to_be_bytes());
        bytes.extend(position.group.to_be_bytes());
        bytes.push(u8::from(position.row.is_some()));
        bytes.extend(position.row.unwrap_or(0).to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a token says; None: it is empty, and asks for the first page.
    pub fn read(&self, token: &str) -> Result<Option<Pin>, Fault> {
        if token.is_empty() {
            return Ok(None);
        }
        let Some((bound, pin)) = decode(token) else {
            let what = "the token is damaged; take next_page_token as it was answered";
            return Err(Fault::new(Reason::PageTokenInvalid, "page_token", what).with("page_token", token));
        };
        if bound != self.digest() {
            let what = "the token belongs to another request; send the same one, only page_size may differ";
            return Err(Fault::new(Reason::PageTokenInvalid, "page_token", what).with("page_token", token));
        }
        Ok(Some(pin))
    }
}

fn decode(token: &str) -> Option<(Digest, Pin)> {
    if token.len() != BYTES * 2 || !token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let bytes: Vec<u8> =
        (0..BYTES).map(|i| u8::from_str_radix(&token[i * 2..i * 2 + 2], 16).ok()).collect::<Option<_>>()?;
    let (said, crc) = bytes.split_at(BYTES - 4);
    if said[0] != FORMAT || crc32fast::hash(said).to_be_bytes() != crc {
        return None;
    }
    let bound = said[1..17].try_into().ok()?;
    let integer = |from: usize| Some(i64::from_be_bytes(said[from..from + 8].try_into().ok()?));
    let row = integer(42)?;
    let position = Position { group: integer(33)?.cast_unsigned(), row: (said[41] == 1).then_some(row) };
    let (revision, evaluate_time) = (integer(17)?, Time(integer(25)?));
    let sane = revision >= 0 && said[41] <= 1;
    sane.then_some((bound, Pin { revision, evaluate_time, position }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::GetTotalRequest;
    use proptest::prelude::*;

    fn bound(page_size: i32) -> Bound {
        Bound::to("GetTotal", &GetTotalRequest { page_size, ..GetTotalRequest::default() })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            revision in 0i64.., evaluate: i64, group: u64, row: Option<i64>, place in 0usize..108, digit in "[0-9a-f]",
        ) {
            let position = Position { group, row };
            let pin = Pin { revision, evaluate_time: Time(evaluate), position };
            let token = bound(0).write(pin);
            prop_assert_eq!(bound(0).read(&token).expect("whole"), Some(pin));
            let mut damaged = token.clone();
            damaged.replace_range(place..place + 1, &digit);
            prop_assert_eq!(damaged == token, bound(0).read(&damaged).is_ok());
            prop_assert!(bound(1).read(&token).is_err(), "another request");
            prop_assert!(bound(0).read(&token[1..]).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{1,120}") {
            prop_assert!(bound(0).read(&text).is_err());
        }
    }

    #[test]
    fn no_token_is_the_first_page() {
        assert_eq!(bound(0).read("").expect("empty"), None);
    }
}

//! Pages of the catalogue's lists: a token says which request it goes on with, at which revision, after which row.

use crate::domain::limit::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, RESPONSE_BYTES_MAX};
use crate::service::fault::{Fault, Reason};
use prost::Message;

/// Bytes of a response left for what is neither a row nor the token's key.
const RESERVE_BYTES: usize = 256;

/// Where a page starts.
pub struct Start {
    /// The revision of the first page; None: this is the first page.
    pub revision: Option<i64>,
    /// The key of the last row before the page; None: there is none.
    pub after: Option<String>,
    rows_max: usize,
    request: u32,
}

/// The rows of a page: as many as were asked for and fit into a message.
pub struct Page<R> {
    /// In order.
    pub rows: Vec<R>,
    rows_max: usize,
    bytes_left: usize,
    last: Option<String>,
    more: bool,
    request: u32,
}

/// Reads `page_size` and `page_token`; `request` is what the token is bound to.
pub fn start(page_size: i32, page_token: &str, request: &[&str]) -> Result<Start, Fault> {
    let rows_max = match usize::try_from(page_size) {
        Ok(0) => PAGE_ROWS_DEFAULT,
        Ok(rows) => rows.min(PAGE_ROWS_MAX),
        Err(_) => {
            let why = format!("{page_size} is no page's size; say 1 to 10000, or 0 for 1000");
            return Err(Fault::new(Reason::FieldInvalid, "page_size", why).with("page_size", page_size));
        }
    };
    let request = crc32fast::hash(request.join("\0").as_bytes());
    if page_token.is_empty() {
        return Ok(Start { revision: None, after: None, rows_max, request });
    }
    let (bound, revision, after) = decode(page_token).ok_or_else(|| invalid("is damaged", page_token))?;
    if bound != request {
        return Err(invalid("belongs to another request", page_token));
    }
    Ok(Start { revision: Some(revision), after: Some(after), rows_max, request })
}

fn invalid(why: &str, token: &str) -> Fault {
    let why = format!("{why}; repeat the request of the first page with the token of the page before, or none");
    Fault::new(Reason::PageTokenInvalid, "page_token", why).with("page_token", token)
}

impl Start {
    /// An empty page.
    pub fn page<R>(&self) -> Page<R> {
        Page {
            rows: Vec::new(),
            rows_max: self.rows_max,
            bytes_left: RESPONSE_BYTES_MAX - RESERVE_BYTES,
            last: None,
            more: false,
            request: self.request,
        }
    }

    /// Whether a row comes after the pages before.
    pub fn is_next(&self, key: &str) -> bool {
        self.after.as_deref().is_none_or(|after| key > after)
    }
}

impl<R: Message> Page<R> {
    /// Puts a row on the page. False: it is full, the row is the next page's first.
    pub fn push(&mut self, key: String, row: R) -> bool {
        // a field's tag and length before each row
        let bytes = row.encoded_len() + 6;
        // the token names the page's last row, in hexadecimal
        let token_bytes = 2 * key.len();
        if self.rows.len() == self.rows_max || bytes + token_bytes > self.bytes_left {
            self.more = true;
            return false;
        }
        self.bytes_left -= bytes;
        self.rows.push(row);
        self.last = Some(key);
        true
    }

    /// The token of the page after this one; empty: this is the last one.
    pub fn next_token(&self, revision: i64) -> String {
        match &self.last {
            Some(last) if self.more => encode(self.request, revision, last),
            _ => String::new(),
        }
    }
}

fn encode(request: u32, revision: i64, after: &str) -> String {
    let mut bytes = Vec::with_capacity(16 + after.len());
    bytes.extend(request.to_be_bytes());
    bytes.extend(revision.to_be_bytes());
    bytes.extend(after.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(token: &str) -> Option<(u32, i64, String)> {
    if !token.is_ascii() || !token.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).ok());
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(content).to_be_bytes() != *crc {
        return None;
    }
    let (request, rest) = content.split_first_chunk::<4>()?;
    let (revision, after) = rest.split_first_chunk::<8>()?;
    let after = String::from_utf8(after.to_vec()).ok()?;
    Some((u32::from_be_bytes(*request), i64::from_be_bytes(*revision), after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_says_what_was_put_in(request: u32, revision: i64, after in "\\PC{0,40}") {
            let token = encode(request, revision, &after);
            prop_assert_eq!(decode(&token), Some((request, revision, after)));
        }

        #[test]
        fn a_damaged_token_is_refused(after in "\\PC{0,20}", at in 0usize..1_000, other in 0u8..16) {
            let token = encode(1, 2, &after);
            let at = at % token.len();
            let other = char::from_digit(u32::from(other), 16).expect("a digit");
            let mut damaged = token.clone();
            damaged.replace_range(at..=at, &other.to_string());
            prop_assert!(damaged == token || decode(&damaged).is_none());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = decode(&text);
        }
    }
}

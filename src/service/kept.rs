//! Replies kept: the same question again is answered with the bytes of before, while they hold.
//!
//! A reply holds while its component has the revision it was made at and nothing in it would be judged otherwise by the
//! clock (`query::Validity`). Only its evaluate time is another one, so a reply is kept in two parts, around that. A
//! question is the bytes of its request; one that was asked once lately is kept when it comes again, so that questions
//! that never come again cost nothing but a hash.
//!
//! (By turns, 64 in flight: the same 20 milestones of 10^8 points at 0.41 of the calls of an empty echo before, 0.66
//! after; totals, each at another instant, the same. Weeks of 200 series, one after the other: 2.3 and 0.33 ms.)
//!
//! ```text
//! reply   tag of answer | its length | what is before evaluate_time | evaluate_time | what is after | all behind answer
//! kept                                 before                                         after ...........................
//! ```

mod layer;

pub use layer::Kept;

use crate::domain::limit::{
    KEPT_QUESTIONS_REMEMBERED, KEPT_REPLIES_BYTES_MAX, KEPT_REPLY_BYTES_MAX, RESPONSE_BYTES_MAX,
};
use crate::domain::time::Time;
use crate::engine::Engine;
use crate::proto::v1::*;
use crate::query::Validity;
use crate::service::convert::time::timestamp;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, message};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Request, Response};

/// Number of `answer` in every reply that is kept, and of `evaluate_time` in it.
const ANSWER: u32 = 1;
const EVALUATE_TIME: u32 = 4;
/// gRPC's five bytes before a message: not compressed, and its length.
const PREFIX: usize = 5;

/// A message that begins with an `Answer`, and has pages.
pub trait Reply {
    /// Its first field.
    fn answer(&self) -> Option<&Answer>;
    /// Whether it is all on one page.
    fn is_all(&self) -> bool;
    /// As it is encoded.
    fn encoded(&self) -> Bytes;
}

macro_rules! replies {
    ($($reply:ty),*) => {$(
        impl Reply for $reply {
            fn answer(&self) -> Option<&Answer> {
                self.answer.as_ref()
            }

            fn is_all(&self) -> bool {
                self.next_page_token.is_empty()
            }

            fn encoded(&self) -> Bytes {
                self.encode_to_vec().into()
            }
        }
    )*};
}
replies!(GetTotalResponse, ListMilestonesResponse);

/// A reply that was written as it is sent, and never was a message.
pub struct Written {
    answer: Answer,
    is_all: bool,
    /// As gRPC sends it.
    sent: Bytes,
}

impl Written {
    /// What `write` puts behind what is there already, and the answer it begins with.
    pub fn new(is_all: bool, write: impl FnOnce(&mut Vec<u8>) -> Answer) -> Written {
        let mut sent = vec![0; PREFIX];
        let answer = write(&mut sent);
        let length = u32::try_from(sent.len() - PREFIX).expect("a page is no longer than a response may be");
        sent[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        Written { answer, is_all, sent: sent.into() }
    }

    /// Its response. To the layer in front the bytes are handed in the extensions, beside an empty message, which it does not
    /// send; any other caller, or where they are longer than a response may be, gets the message, for tonic to send or refuse.
    pub fn response<M: Message + Default>(response: Response<Written>, passed: Passed) -> Response<M> {
        let (metadata, written, mut extensions) = response.into_parts();
        let message = match passed.is_by_layer && written.sent.len() <= PREFIX + RESPONSE_BYTES_MAX {
            false => M::decode(written.encoded()).expect("it was written here"),
            true => {
                extensions.insert(Sent(written.sent));
                M::default()
            }
        };
        Response::from_parts(metadata, message, extensions)
    }
}

impl Reply for Written {
    fn answer(&self) -> Option<&Answer> {
        Some(&self.answer)
    }

    fn is_all(&self) -> bool {
        self.is_all
    }

    /// On its own, without the room that was made for more.
    fn encoded(&self) -> Bytes {
        Bytes::copy_from_slice(&self.sent[PREFIX..])
    }
}

/// A reply as gRPC sends it.
#[derive(Clone)]
struct Sent(Bytes);

/// How a question came.
#[derive(Clone, Copy, Default, Debug)]
pub struct Passed {
    /// The layer passed it on: what is in the extensions of the response is taken.
    is_by_layer: bool,
    /// It comes again: whoever answers it is to leave its reply there.
    pub is_wanted: bool,
}

impl Passed {
    /// As a request says.
    pub fn of<T>(request: &Request<T>) -> Passed {
        request.extensions().get().copied().unwrap_or_default()
    }
}

/// A reply without its evaluate time, and what it holds for.
#[derive(Clone, Debug)]
pub struct KeptReply {
    validity: Validity,
    before: Bytes,
    after: Bytes,
    /// Of `before`, and of what of the answer is in `after`.
    answer_len: usize,
}

impl KeptReply {
    /// A reply as it is kept. None: it is not, for it is one of several pages, or long.
    pub fn of(reply: &impl Reply, validity: Validity) -> Option<KeptReply> {
        let answer = reply.answer()?;
        let time = answer.evaluate_time.as_ref()?;
        if !reply.is_all() || validity.until <= validity.from {
            return None;
        }
        // Fields are encoded in the order of their numbers.
        let (interval, time_zone, revision) = (answer.interval, answer.time_zone.clone(), answer.revision);
        let before_len = Answer { interval, time_zone, revision, ..Answer::default() }.encoded_len();
        let time_len = message::encoded_len(EVALUATE_TIME, time);
        let answer_len = answer.encoded_len();
        let all = reply.encoded();
        let from = 1 + encoded_len_varint(answer_len as u64);
        let to = from + before_len;
        let kept = KeptReply {
            validity,
            before: all.slice(from..to),
            after: all.slice(to + time_len..),
            answer_len: answer_len - time_len,
        };
        (all.len() <= KEPT_REPLY_BYTES_MAX).then_some(kept)
    }

    /// As gRPC sends it, judged at `now`.
    fn judged_at(&self, now: Time) -> Bytes {
        let time = timestamp(now);
        let answer_len = (self.answer_len + message::encoded_len(EVALUATE_TIME, &time)) as u64;
        let head = PREFIX + 1 + encoded_len_varint(answer_len);
        let all = head + self.before.len() + message::encoded_len(EVALUATE_TIME, &time) + self.after.len();
        let mut bytes = BytesMut::with_capacity(all);
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(all - PREFIX).expect("a reply that is kept is short"));
        encode_key(ANSWER, WireType::LengthDelimited, &mut bytes);
        encode_varint(answer_len, &mut bytes);
        bytes.put_slice(&self.before);
        message::encode(EVALUATE_TIME, &time, &mut bytes);
        bytes.put_slice(&self.after);
        bytes.freeze()
    }
}

/// A question: a call, and the bytes of its request.
#[derive(Hash, PartialEq, Eq)]
struct Question {
    call: &'static str,
    request: Box<[u8]>,
}

/// A question as it came in.
#[derive(Hash, Clone, Copy)]
struct Asked<'a> {
    call: &'static str,
    request: &'a [u8],
}

impl Equivalent<Question> for Asked<'_> {
    fn equivalent(&self, key: &Question) -> bool {
        self.call == key.call && *self.request == *key.request
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Question, Arc<KeptReply>> for ByBytes {
    fn weight(&self, question: &Question, reply: &Arc<KeptReply>) -> u64 {
        (size_of::<KeptReply>() + question.request.len() + reply.before.len() + reply.after.len()) as u64
    }
}

/// The replies that are kept, up to so many bytes, and which questions came lately.
struct Replies {
    engine: Engine,
    kept: Cache<Question, Arc<KeptReply>, ByBytes>,
    hasher: RandomState,
    /// Hashes of questions asked lately, each in one place: a later one takes it.
    lately: Box<[AtomicU64]>,
    sent_again: AtomicU64,
}

impl Replies {
    fn new(engine: Engine) -> Replies {
        let bytes = KEPT_REPLIES_BYTES_MAX as u64;
        Replies {
            engine,
            kept: Cache::with_weighter(KEPT_QUESTIONS_REMEMBERED, bytes, ByBytes),
            hasher: RandomState::new(),
            lately: (0..KEPT_QUESTIONS_REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            sent_again: AtomicU64::new(0),
        }
    }

    /// The reply of before, if it holds now, as gRPC sends it.
    fn get(&self, asked: Asked<'_>) -> Option<Bytes> {
        let reply = self.kept.get(&asked)?;
        let Validity { component, revision, from, until } = &reply.validity;
        let (now, is_at) = self.engine.revision(component)?;
        let holds = (from..until).contains(&&now) && is_at == *revision;
        self.sent_again.fetch_add(u64::from(holds), Ordering::Relaxed);
        holds.then(|| reply.judged_at(now))
    }

    /// Whether a question came lately; from now on it did.
    fn came_lately(&self, asked: Asked<'_>) -> bool {
        let hash = self.hasher.hash_one(asked);
        let place = &self.lately[hash as usize % self.lately.len()];
        place.swap(hash, Ordering::Relaxed) == hash
    }

    fn keep(&self, asked: Asked<'_>, reply: KeptReply) {
        self.kept.insert(Question { call: asked.call, request: asked.request.into() }, Arc::new(reply));
    }
}

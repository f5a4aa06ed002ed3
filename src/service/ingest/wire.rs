//! Batches off the wire: decoded as `prost` decodes them, and faster.
//!
//! A message is one piece of memory here, where `prost` asks a buffer for each byte; and of packed numbers it is counted
//! first how many there are, so that their list is as long at once, and those that end in the same eight bytes are taken
//! out of one register. What is not known here, or wrong, is left to `prost`: it says what of it stands, and what is wrong.
//!
//! (By turns: durable ingest of W1 0.38 of the null sink before, 0.43 after; `prost`'s loop over varints was a sixth of what
//! the server did.)

use crate::proto::v1::{
    Columns, FixedTimes, RegularTimes, SeriesPoints, StreamPointsRequest, WritePointsRequest, columns::Times,
};
use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint};
use prost::{DecodeError, Message};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// What a batch is made of.
pub trait FromWire: Message + Default + 'static {
    /// Takes the bytes of a field, if it is one that is known here; whether it is.
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError>;

    /// Makes room for what of these bytes there may be very many of.
    fn make_room(&mut self, _bytes: &[u8]) {}

    /// Adds a message's fields to what is there, as `Message::merge` does.
    fn merge_from(&mut self, mut bytes: &[u8]) -> Result<(), DecodeError> {
        self.make_room(bytes);
        while !bytes.is_empty() {
            let (tag, wire_type) = decode_key(&mut bytes)?;
            let field = bytes;
            if wire_type == WireType::LengthDelimited {
                let length = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
                if let Some((content, rest)) = bytes.split_at_checked(length)
                    && self.take(tag, content)?
                {
                    bytes = rest;
                    continue;
                }
            }
            bytes = field;
            self.merge_field(tag, wire_type, &mut bytes, DecodeContext::default())?;
        }
        Ok(())
    }
}

impl FromWire for StreamPointsRequest {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError> {
        match tag {
            1 => self.write.get_or_insert_default().merge_from(bytes)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl FromWire for WritePointsRequest {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError> {
        match tag {
            2 => {
                self.series.push(merged(bytes)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// For series: a list of a thousand that grows as they come is copied as often as it is long.
    fn make_room(&mut self, mut bytes: &[u8]) {
        let mut count = 0;
        while let Ok((tag, WireType::LengthDelimited)) = decode_key(&mut bytes)
            && let Ok(length) = decode_varint(&mut bytes)
            && let Some(rest) = usize::try_from(length).ok().and_then(|length| bytes.get(length..))
        {
            count += usize::from(tag == 2);
            bytes = rest;
        }
        self.series.reserve_exact(count);
    }
}

impl FromWire for SeriesPoints {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError> {
        match tag {
            1 => {
                let Ok(metric) = str::from_utf8(bytes) else { return Ok(false) };
                metric.clone_into(&mut self.metric);
            }
            2 => {
                let Some((name, value)) = label(bytes) else { return Ok(false) };
                self.labels.insert(name.to_owned(), value.to_owned());
            }
            4 => self.columns.get_or_insert_default().merge_from(bytes)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A label's name and value; None where its entry holds anything else, or what is wrong.
fn label(mut bytes: &[u8]) -> Option<(&str, &str)> {
    let mut texts = [""; 2];
    while !bytes.is_empty() {
        let (tag @ 1..=2, WireType::LengthDelimited) = decode_key(&mut bytes).ok()? else { return None };
        let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
        let (text, rest) = bytes.split_at_checked(length)?;
        texts[tag as usize - 1] = str::from_utf8(text).ok()?;
        bytes = rest;
    }
    Some(texts.into())
}

impl FromWire for Columns {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError> {
        match (tag, &mut self.times) {
            (1, Some(Times::Fixed(fixed))) => fixed.merge_from(bytes)?,
            (1, times) => *times = Some(Times::Fixed(merged(bytes)?)),
            (2, Some(Times::Regular(regular))) => regular.merge_from(bytes)?,
            (2, times) => *times = Some(Times::Regular(merged(bytes)?)),
            (4, _) => return Ok(sint64s(bytes, &mut self.units)),
            (5, _) => return Ok(sfixed64s(bytes, &mut self.start_times)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl FromWire for FixedTimes {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> Result<bool, DecodeError> {
        Ok(tag == 1 && sfixed64s(bytes, &mut self.unix_nanos))
    }
}

/// Two numbers, which `prost` reads, out of one piece of memory as all else here.
impl FromWire for RegularTimes {
    fn take(&mut self, _: u32, _: &[u8]) -> Result<bool, DecodeError> {
        Ok(false)
    }
}

/// A message of these bytes.
fn merged<M: FromWire>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut message = M::default();
    message.merge_from(bytes)?;
    Ok(message)
}

/// Adds packed `sfixed64`; false, and nothing, where they are not whole.
fn sfixed64s(bytes: &[u8], numbers: &mut Vec<i64>) -> bool {
    let (whole, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        numbers.extend(whole.iter().map(|number| i64::from_le_bytes(*number)));
    }
    rest.is_empty()
}

/// The bit of each byte that says that its varint goes on.
const GOES_ON: u64 = 0x8080_8080_8080_8080;

/// Adds packed `sint64`; false, and nothing, where they are no varints.
fn sint64s(bytes: &[u8], numbers: &mut Vec<i64>) -> bool {
    let before = numbers.len();
    numbers.reserve(bytes.iter().filter(|byte| **byte < 0x80).count());
    let read = varints(bytes, |varint| numbers.push(signed(varint)));
    if read.is_err() {
        numbers.truncate(before);
    }
    read.is_ok()
}

/// Each of the varints that bytes are.
fn varints(mut bytes: &[u8], mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
    while let Some(eight) = bytes.first_chunk() {
        let mut word = u64::from_le_bytes(*eight);
        let mut ends = !word & GOES_ON;
        let whole = 8 - ends.leading_zeros() as usize / 8;
        if whole == 0 {
            // One of nine or ten bytes.
            each(decode_varint(&mut bytes)?);
            continue;
        }
        bytes = &bytes[whole..];
        while ends != 0 {
            let bits = ends.trailing_zeros() + 1;
            each(sevens(word & (u64::MAX >> (64 - bits))));
            word = word.unbounded_shr(bits);
            ends = ends.unbounded_shr(bits);
        }
    }
    while !bytes.is_empty() {
        each(decode_varint(&mut bytes)?);
    }
    Ok(())
}

/// Seven bits of each of eight bytes, one behind the other.
fn sevens(varint: u64) -> u64 {
    let by_2 = (varint & 0x007f_007f_007f_007f) | (varint & 0x7f00_7f00_7f00_7f00) >> 1;
    let by_4 = (by_2 & 0x0000_3fff_0000_3fff) | (by_2 & 0x3fff_0000_3fff_0000) >> 2;
    (by_4 & 0x0fff_ffff) | (by_4 & 0x0fff_ffff_0000_0000) >> 4
}

/// The number that zigzag made this of.
fn signed(zigzag: u64) -> i64 {
    (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
}

/// Encodes as `prost` does, decodes as here.
pub struct BatchCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for BatchCodec<E, D> {
    fn default() -> Self {
        BatchCodec(PhantomData)
    }
}

impl<E: Message + 'static, D: FromWire> Codec for BatchCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = BatchDecoder<D>;

    fn encoder(&mut self) -> ProstEncoder<E> {
        ProstCodec::<E, D>::default().encoder()
    }

    fn decoder(&mut self) -> BatchDecoder<D> {
        BatchDecoder(ProstDecoder::default())
    }
}

/// See the module. What it cannot read it has `prost` read, and refuse.
pub struct BatchDecoder<D>(ProstDecoder<D>);

impl<D: FromWire> Decoder for BatchDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let mut message = D::default();
        let length = bytes.remaining();
        if bytes.chunk().len() == length && message.merge_from(bytes.chunk()).is_ok() {
            bytes.advance(length);
            return Ok(Some(message));
        }
        self.0.decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::encoding::{encode_key, encode_varint};
    use std::ops::Range;

    fn decoded(bytes: &[u8]) -> Option<StreamPointsRequest> {
        let mut message = StreamPointsRequest::default();
        message.merge_from(bytes).is_ok().then_some(message)
    }

    /// Any number below 2 to any power, of either sign.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
    }

    fn columns() -> impl Strategy<Value = Columns> {
        let numbers = || proptest::collection::vec(number(), 0..40);
        let times = proptest::option::of(prop_oneof![
            numbers().prop_map(|unix_nanos| Times::Fixed(FixedTimes { unix_nanos })),
            (number(), number()).prop_map(|(first_unix_nanos, interval_nanos)| {
                Times::Regular(crate::proto::v1::RegularTimes { first_unix_nanos, interval_nanos })
            }),
        ]);
        (times, numbers(), numbers()).prop_map(|(times, units, start_times)| Columns { times, units, start_times })
    }

    fn series() -> impl Strategy<Value = SeriesPoints> {
        let labels = proptest::collection::btree_map("[a-c]", ".{0,3}", 0..3);
        let point = (".{0,3}", any::<bool>()).prop_map(|(value, restated)| crate::proto::v1::Point {
            value,
            restated,
            ..Default::default()
        });
        let points = proptest::collection::vec(point, 0..3);
        (".{0,5}", labels, points, proptest::option::of(columns()))
            .prop_map(|(metric, labels, points, columns)| SeriesPoints { metric, labels, points, columns })
    }

    fn message() -> impl Strategy<Value = StreamPointsRequest> {
        let write = (".{0,5}", proptest::collection::vec(series(), 0..4), 0..4, any::<bool>()).prop_map(
            |(request_id, series, mode, validate_only)| WritePointsRequest {
                request_id,
                series,
                mode,
                validate_only,
                ..Default::default()
            },
        );
        proptest::option::of(write).prop_map(|write| StreamPointsRequest { write })
    }

    /// The numbers of a message one by one, each with its key; and fields that nobody knows.
    fn not_packed(units: &[i64], starts: &[i64], unknown: u32) -> Vec<u8> {
        let mut columns = Vec::new();
        for unit in units {
            prost::encoding::sint64::encode(4, unit, &mut columns);
        }
        for start in starts {
            prost::encoding::sfixed64::encode(5, start, &mut columns);
        }
        prost::encoding::string::encode(unknown, &"unknown".to_string(), &mut columns);
        let mut bytes = columns;
        for tag in [4, 2, 1] {
            let mut outer = Vec::new();
            encode_key(tag, WireType::LengthDelimited, &mut outer);
            encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(bytes);
            bytes = outer;
        }
        bytes
    }

    /// A field as nobody writes it, or as everybody does: any number, any form, any content.
    fn field(tags: Range<u32>, content: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
        let form = prop_oneof![9 => Just(WireType::LengthDelimited), 1 => Just(WireType::Varint)];
        (tags, form, content).prop_map(|(tag, form, content)| {
            let mut field = Vec::new();
            encode_key(tag, form, &mut field);
            encode_varint(content.len() as u64, &mut field);
            if form == WireType::LengthDelimited {
                field.extend(content);
            }
            field
        })
    }

    /// Few texts, so that they come again, and one that is none.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![9 => "[ab]{0,2}".prop_map(String::into_bytes), 1 => Just(vec![0xff])]
    }

    fn fields_of_a_series() -> impl Strategy<Value = Vec<u8>> {
        let label = proptest::collection::vec(field(1..4, text()), 0..4).prop_map(|fields| fields.concat());
        let any = prop_oneof![field(1..2, text()), field(2..3, label), field(1..5, text())];
        proptest::collection::vec(any, 0..6).prop_map(|fields| fields.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Metric and labels given twice, in part, with something else between, or wrong: what `prost` makes of it.
        #[test]
        fn a_series_is_what_prost_reads(bytes in fields_of_a_series()) {
            let mut series = SeriesPoints::default();
            let read = series.merge_from(&bytes).is_ok().then_some(series);
            prop_assert_eq!(read, SeriesPoints::decode(&bytes[..]).ok());
        }

        /// A message, several one behind the other, or one with bytes left out, put in or changed: what `prost` makes of it.
        #[test]
        fn it_is_what_prost_reads(
            messages in proptest::collection::vec(message(), 1..3), how in 0..4, at: prop::sample::Index, byte: u8,
        ) {
            let mut bytes: Vec<u8> = messages.iter().flat_map(Message::encode_to_vec).collect();
            let place = at.index(bytes.len() + 1);
            match how {
                1 if place < bytes.len() => bytes[place] = byte,
                2 if place < bytes.len() => drop(bytes.remove(place)),
                3 => bytes.insert(place, byte),
                _ => {}
            }
            prop_assert_eq!(decoded(&bytes), StreamPointsRequest::decode(&bytes[..]).ok());
            prop_assert!(how > 0 || decoded(&bytes).is_some());
        }

        /// As long a list as it becomes: a few bytes of a hostile batch make no room for millions.
        #[test]
        fn room_is_made_for_the_series_there_are(series in proptest::collection::vec(series(), 0..9)) {
            let bytes = WritePointsRequest { series, ..Default::default() }.encode_to_vec();
            let mut read = WritePointsRequest::default();
            prop_assert!(read.merge_from(&bytes).is_ok());
            prop_assert_eq!(read.series.capacity(), read.series.len());
        }

        #[test]
        fn what_is_not_packed_is_read_too(
            units in proptest::collection::vec(number(), 0..9), starts in proptest::collection::vec(number(), 0..9),
            unknown in 6u32..99, more in message(),
        ) {
            let bytes = [not_packed(&units, &starts, unknown), more.encode_to_vec(), not_packed(&starts, &units, unknown)];
            let bytes = bytes.concat();
            let read = decoded(&bytes);
            prop_assert!(read.is_some());
            prop_assert_eq!(read, StreamPointsRequest::decode(&bytes[..]).ok());
        }

        /// Any bytes as numbers: as `prost` reads them, or nothing.
        #[test]
        fn packed_numbers_are_what_prost_reads(
            mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x80), Just(0xff), 0u8..3], 0..40),
            is_ended: bool,
        ) {
            if is_ended {
                bytes.push(1);
            }
            let mut rest = &bytes[..];
            let mut expected = vec![7];
            let mut is_right = true;
            while !rest.is_empty() && is_right {
                match decode_varint(&mut rest) {
                    Ok(number) => expected.push(signed(number)),
                    Err(_) => is_right = false,
                }
            }
            let mut numbers = vec![7];
            prop_assert_eq!(sint64s(&bytes, &mut numbers), is_right);
            expected.truncate(if is_right { expected.len() } else { 1 });
            prop_assert_eq!(numbers, expected);
        }
    }
}

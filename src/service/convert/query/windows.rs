//! `QueryRange`'s and `QueryCumulative`'s answer, written as it is sent: they have the same fields, and windows are many.
//!
//! (As messages that `prost` writes, which were made, measured twice and let go of, five years of weeks of one series were
//! told in 0.325 ms, and are in 0.29, by turns; 0.16 of both is an empty call.)

use super::answer::{self, Teller, count, marks};
use crate::proto::v1::Answer;
use crate::query::answer::{Page, WindowRow};
use crate::service::convert::time::timestamp;
use prost::encoding::{WireType, btree_map, encode_key, encode_varint, int32, int64, message, string};

/// Bytes that most windows take, and most answers without them: room that is made at once.
const MOST_WINDOWS: usize = 64;
const MOST_ANSWERS: usize = 512;

/// Writes the message behind what is in `out`; its head.
pub fn windows(page: &Page<WindowRow>, next_page_token: &String, out: &mut Vec<u8>) -> Answer {
    let (head, teller) = (answer::answer(&page.answer), Teller::of(&page.answer));
    out.reserve(MOST_ANSWERS + MOST_WINDOWS * page.rows.len());
    message::encode(1, &head, out);
    let mut window = Vec::with_capacity(2 * MOST_WINDOWS);
    for row in &page.rows {
        window.clear();
        write(&teller, row, &mut window);
        encode_key(2, WireType::LengthDelimited, out);
        encode_varint(window.len() as u64, out);
        out.extend_from_slice(&window);
    }
    if !next_page_token.is_empty() {
        string::encode(3, next_page_token, out);
    }
    head
}

/// The fields of a `Window`.
fn write(teller: &Teller<'_>, row: &WindowRow, out: &mut Vec<u8>) {
    let (text, length) =
        (|number, text: &String, out: &mut Vec<u8>| string::encode(number, text, out), string::encoded_len);
    btree_map::encode(text, length, text, length, 1, &teller.group(&row.group), out);
    for (number, time) in [(2, row.window.start), (3, row.window.end)] {
        time.iter().for_each(|time| message::encode(number, &timestamp(*time), out));
    }
    for (number, figure) in [(4, row.flow), (5, row.total), (6, row.running)] {
        figure.iter().for_each(|figure| string::encode(number, &teller.text(*figure), out));
    }
    row.levels.iter().for_each(|levels| message::encode(7, &teller.levels(levels), out));
    if row.point_count > 0 {
        int64::encode(8, &count(row.point_count), out);
    }
    int32::encode_packed(9, &marks(&row.marks), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Time;
    use crate::proto::v1::{self, GaugeLevels, QueryCumulativeResponse, QueryRangeResponse, Window};
    use crate::query::answer as told;
    use crate::service::convert::metric;
    use proptest::prelude::*;
    use prost::Message;
    use std::sync::Arc;

    fn row() -> impl Strategy<Value = WindowRow> {
        let figure = || proptest::option::of(prop_oneof![Just(0), -9i128..9, any::<i64>().prop_map(i128::from)]);
        let time = || proptest::option::of((-9i64..9).prop_map(|t| Time(t * 500_000_000)));
        let level = || proptest::option::of(any::<i64>());
        let mean = proptest::option::of((-99i128..99, 1u64..9));
        let levels =
            (level(), level(), level(), mean).prop_map(|(last, min, max, mean)| told::Levels { last, min, max, mean });
        let all = [told::Mark::MidPeriod, told::Mark::Unfinished, told::Mark::Restarted];
        let marks = proptest::sample::subsequence(all.to_vec(), 0..=3);
        let group = ("[a-z]{1,3}", "[a-z]{1,200}").prop_map(|(one, other)| [one.into(), other.into()].into());
        let figures = (figure(), figure(), figure());
        let levels = proptest::option::of(levels.prop_map(Box::new));
        (group, time(), time(), figures, levels, 0u64..3, marks).prop_map(
            |(group, start, end, (flow, total, running), levels, point_count, marks)| {
                let window = told::Edges { start, end };
                WindowRow { group, window, flow, total, running, levels, point_count, marks }
            },
        )
    }

    fn page(rows: Vec<WindowRow>, group_by: &[String]) -> Page<WindowRow> {
        let (kind, label_names) = (v1::metric::Kind::Delta as i32, group_by.to_vec());
        let name = "notify/messages".to_string();
        let metric = v1::Metric { name, kind, scale: 2, label_names, ..Default::default() };
        let definition = Arc::new(metric::definition(&metric).expect("nothing is wrong with it"));
        let answer = told::Answer {
            interval: told::Edges::default(),
            zone: String::new(),
            revision: 7,
            evaluate_time: Time(0),
            definition,
            group_by: group_by.to_vec(),
            groups: Vec::new(),
        };
        Page { answer, rows, next: None }
    }

    /// A row as a message.
    fn expected(row: &WindowRow, group_by: &[String]) -> Window {
        let text = |figure: i128| crate::domain::decimal::format(figure, 2);
        let level = |level: Option<i64>| level.map(|level| text(level.into()));
        let mean = |(sum, count)| crate::domain::decimal::format_mean(sum, count, 2);
        let levels = |levels: &told::Levels| GaugeLevels {
            last: level(levels.last),
            min: level(levels.min),
            max: level(levels.max),
            mean: levels.mean.map(mean),
        };
        Window {
            group: group_by.iter().cloned().zip(row.group.iter().map(|value| value.to_string())).collect(),
            start_time: row.window.start.map(timestamp),
            end_time: row.window.end.map(timestamp),
            flow: row.flow.map(text),
            total: row.total.map(text),
            running: row.running.map(text),
            levels: row.levels.as_deref().map(levels),
            point_count: row.point_count as i64,
            marks: marks(&row.marks),
        }
    }

    proptest! {
        /// Byte by byte what `prost` writes of the same message, for either call.
        #[test]
        fn windows_are_written_as_prost_writes_them(
            rows in proptest::collection::vec(row(), 0..9), token in "[a-z]{0,3}", grouped: bool,
        ) {
            let group_by = if grouped { vec!["z".to_string(), "channel".to_string()] } else { Vec::new() };
            let page = page(rows, &group_by);
            let mut bytes = b"before".to_vec();
            let answer = Some(windows(&page, &token, &mut bytes));
            let windows: Vec<Window> = page.rows.iter().map(|row| expected(row, &group_by)).collect();
            let next_page_token = token;
            let range = QueryRangeResponse { answer: answer.clone(), windows: windows.clone(), next_page_token: next_page_token.clone() };
            let cumulative = QueryCumulativeResponse { answer, windows, next_page_token };
            prop_assert_eq!(&bytes[6..], range.encode_to_vec());
            prop_assert_eq!(&bytes[6..], cumulative.encode_to_vec());
        }
    }
}

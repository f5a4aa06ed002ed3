//! What stands around a table: its title, and the notes on how good the data is.

use super::figure::{count, readable};
use super::label;
use super::moment::Reader;
use crate::proto::v1 as pb;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Gaps and openings that a note names one by one.
const NAMED_MAX: usize = 3;

/// `govuk-pay/payments by month, in {payment}; dates in Europe/London`.
pub(super) fn title(metric: &str, unit: &str, more: &str, reader: &Reader) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(", in {unit}") };
    format!("{metric}{more}{unit}; dates in {}\n\n", reader.zone_name())
}

/// A row's cells of the `group_by` labels.
pub(super) fn group_cells(group_by: &[String], group: &BTreeMap<String, String>) -> Vec<String> {
    group_by.iter().map(|name| group.get(name).cloned().unwrap_or_default()).collect()
}

/// Marks in words.
pub(super) fn marks(marks: &[i32]) -> String {
    let words = |mark: &i32| match pb::window::Mark::try_from(*mark) {
        Ok(pb::window::Mark::MidPeriod) => "mid-period",
        Ok(pb::window::Mark::Straddled) => "straddled",
        Ok(pb::window::Mark::Unfinished) => "unfinished",
        Ok(pb::window::Mark::Clipped) => "clipped",
        Ok(pb::window::Mark::Incomplete) => "incomplete",
        Ok(pb::window::Mark::Filled) => "filled",
        Ok(pb::window::Mark::Restarted) => "restarted",
        Ok(pb::window::Mark::Unspecified) | Err(_) => "marked",
    };
    marks.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// The marks of an answer that need a sentence, each once.
pub(super) fn mark_notes<'a>(rows: impl IntoIterator<Item = &'a [i32]>) -> String {
    use pb::window::Mark;
    let mut seen: Vec<i32> = rows.into_iter().flatten().copied().collect();
    seen.sort_unstable();
    seen.dedup();
    let mut text = String::new();
    for mark in seen {
        let sentence = match Mark::try_from(mark) {
            Ok(Mark::MidPeriod) => "mid-period: counts a whole period that ends later",
            Ok(Mark::Straddled) => "straddled: a period or a step lies across an edge; it counts in one window only",
            Ok(Mark::Unfinished) => "unfinished: the window has not ended yet",
            Ok(Mark::Clipped) => "clipped: the window was cut by --from or --to",
            Ok(Mark::Incomplete) => "incomplete: an expected period is missing",
            Ok(Mark::Filled) => "filled: nothing counts here, the figure was filled in as asked for",
            Ok(Mark::Restarted) => "restarted: the running total begins anew",
            Ok(Mark::Unspecified) | Err(_) => continue,
        };
        let _ = writeln!(text, "{sentence}.");
    }
    text
}

/// The notes under a table: a blank line, then a line a fact.
pub(super) fn notes(answer: &pb::Answer, reader: &Reader) -> String {
    let mut text = String::from("\n");
    let alone = answer.groups.len() == 1;
    for facts in &answer.groups {
        let who = if facts.group.is_empty() { String::new() } else { format!("{}: ", label::text(&facts.group)) };
        for sentence in sentences(facts, alone, reader) {
            let mut sentence = sentence;
            if who.is_empty() {
                sentence[..1].make_ascii_uppercase();
            }
            let _ = writeln!(text, "{who}{sentence}.");
        }
    }
    let evaluated =
        answer.evaluate_time.as_ref().map(|t| format!(", judged at {}", reader.date(t))).unwrap_or_default();
    let _ = writeln!(text, "Revision {}{evaluated}.", answer.revision);
    text
}

fn sentences(facts: &pb::GroupFacts, alone: bool, reader: &Reader) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(next) = &facts.next {
        sentences.push(next_sentence(next, reader));
    }
    if let Some(openings) = facts.openings.as_ref().filter(|o| o.count > 0) {
        sentences.push(openings_sentence(openings, reader));
    }
    if let Some(coverage) = &facts.coverage {
        coverage_sentences(coverage, facts.series_count, alone, reader, &mut sentences);
    }
    sentences
}

fn next_sentence(next: &pb::NextMilestone, reader: &Reader) -> String {
    let start = format!("next: {}, {} to go", readable(&next.threshold), readable(&next.remaining));
    match &next.when {
        Some(pb::next_milestone::When::Estimate(estimate)) => {
            let time = estimate.time.as_ref().map(|t| format!(", about {}", reader.date(t))).unwrap_or_default();
            let between = match (&estimate.earliest, &estimate.latest) {
                (Some(earliest), Some(latest)) => {
                    format!(", between {} and {}", reader.date(earliest), reader.date(latest))
                }
                (Some(earliest), None) => format!(", not before {}", reader.date(earliest)),
                _ => String::new(),
            };
            let window = match estimate.window.as_ref().map(|w| (&w.start_time, &w.end_time)) {
                Some((Some(start), Some(end))) => format!(" from {} to {}", reader.date(start), reader.date(end)),
                _ => String::new(),
            };
            let method = estimate.method.to_ascii_lowercase().replace('_', " ");
            format!("{start}{time}{between} ({method}{window})")
        }
        Some(pb::next_milestone::When::NoEstimateReason(reason)) => {
            format!("{start}; no estimate: {}", reason.trim_end_matches('.'))
        }
        None => start,
    }
}

fn openings_sentence(openings: &pb::Openings, reader: &Reader) -> String {
    let one = |opening: &pb::Opening| {
        let series =
            if opening.labels.is_empty() { String::new() } else { format!("{}, ", label::text(&opening.labels)) };
        let date = reader.short_or_blank(opening.time.as_ref());
        let note = if opening.note.is_empty() { String::new() } else { format!(", {}", opening.note) };
        format!("{series}{} before {date}{note}", readable(&opening.value))
    };
    let named = openings.first.iter().take(NAMED_MAX).map(one).collect::<Vec<_>>().join("; ");
    if openings.count == 1 {
        return format!("counts an opening balance: {named}");
    }
    let more = if openings.count > NAMED_MAX as i64 { "; ..." } else { "" };
    format!(
        "counts {} that come to {}: {named}{more}",
        count(openings.count, "opening balance"),
        readable(&openings.sum)
    )
}

fn coverage_sentences(
    coverage: &pb::Coverage,
    series_count: i64,
    alone: bool,
    reader: &Reader,
    sentences: &mut Vec<String>,
) {
    if coverage.never_reported {
        sentences.push("never reported: not one point has come".into());
        return;
    }
    if coverage.expected_periods > 0 {
        let over = if series_count > 1 {
            format!(" of {} series", readable(&series_count.to_string()))
        } else {
            String::new()
        };
        if coverage.present_periods == coverage.expected_periods {
            if alone {
                let through = coverage
                    .complete_through
                    .as_ref()
                    .map(|t| format!(", up to {}", reader.date(t)))
                    .unwrap_or_default();
                sentences.push(format!(
                    "complete: all {}{over}{through}",
                    count(coverage.expected_periods, "expected period")
                ));
            }
        } else {
            sentences.push(gaps_sentence(coverage, &over, reader));
        }
    }
    if coverage.overdue {
        let last = coverage.last_point_time.as_ref().map(|t| format!(": the last point is of {}", reader.date(t)));
        sentences.push(format!("overdue{}", last.unwrap_or_default()));
    }
}

fn gaps_sentence(coverage: &pb::Coverage, over: &str, reader: &Reader) -> String {
    let one = |gap: &pb::Interval| match (&gap.start_time, &gap.end_time) {
        (Some(start), Some(end)) => format!("{} to {}", reader.short(start), reader.short(end)),
        _ => String::from("unbounded"),
    };
    let named: Vec<String> = coverage.gaps.iter().take(NAMED_MAX).map(one).collect();
    let more = coverage.gap_count - named.len() as i64;
    let more = if more > 0 { format!(" and {}", count(more, "more gap")) } else { String::new() };
    let through = coverage.complete_through.as_ref().map(|t| format!("; complete up to {}", reader.date(t)));
    format!(
        "incomplete: {} of {}{over}, none for {}{more}{}",
        readable(&coverage.present_periods.to_string()),
        count(coverage.expected_periods, "expected period"),
        named.join(", "),
        through.unwrap_or_default(),
    )
}

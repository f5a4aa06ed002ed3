//! Questions in, answers out.

mod answer;
mod changes;
mod points;
mod windows;

pub use answer::{milestones, total};
pub use changes::changes;
pub use points::Messages;
pub use windows::windows;

use crate::domain::calendar::Unit;
use crate::proto::v1::{self, *};
use crate::query::ask::{
    AsOfAsk, Beside, CalendarAsk, ChangesAsk, ChangesIntervalAsk, Choice, Fill, FilterAsk, Form, Head, LadderAsk,
    MilestonesAsk, Moment, NamedLadder, PageAsk, PointsAsk, RangeAsk, SelectionAsk, TotalAsk,
};
use crate::query::page::Pin;
use crate::query::{self, QueryError};
use crate::service::convert::refused;
use crate::service::fault::{Fault, Faults, Reason};
use prost_types::Timestamp;

/// What a token says, or what is wrong with it.
pub type Token = Result<Option<Pin>, query::Fault>;

fn head(selection: Option<Selection>, as_of: Option<AsOf>, size: i32, pin: Token) -> Head {
    Head { selection: self::selection(selection), as_of: self::as_of(as_of), page: PageAsk { size, pin } }
}

fn selection(selection: Option<Selection>) -> SelectionAsk {
    let Selection { metric, filters, group_by } = selection.unwrap_or_default();
    let filter = |LabelFilter { label, any_of, none_of }| FilterAsk { label, any_of, none_of };
    SelectionAsk { metric, filters: filters.into_iter().map(filter).collect(), group_by }
}

fn as_of(as_of: Option<AsOf>) -> AsOfAsk {
    match as_of.and_then(|as_of| as_of.as_of) {
        None => AsOfAsk::Now,
        Some(v1::as_of::AsOf::Revision(revision)) => AsOfAsk::Revision(revision),
        Some(v1::as_of::AsOf::Time(time)) => AsOfAsk::Recorded { seconds: time.seconds, nanos: time.nanos },
    }
}

fn instant(time: Timestamp) -> Moment {
    Moment::Instant { seconds: time.seconds, nanos: time.nanos }
}

fn unit(number: i32) -> Choice<Unit> {
    match calendar::Unit::try_from(number) {
        Err(_) => Choice::Unknown(number),
        Ok(calendar::Unit::Unspecified) => Choice::Unset,
        Ok(calendar::Unit::Minute) => Choice::Known(Unit::Minute),
        Ok(calendar::Unit::Hour) => Choice::Known(Unit::Hour),
        Ok(calendar::Unit::Day) => Choice::Known(Unit::Day),
        Ok(calendar::Unit::Week) => Choice::Known(Unit::Week),
        Ok(calendar::Unit::Month) => Choice::Known(Unit::Month),
        Ok(calendar::Unit::Quarter) => Choice::Known(Unit::Quarter),
        Ok(calendar::Unit::Year) => Choice::Known(Unit::Year),
    }
}

fn calendar(calendar: Calendar) -> CalendarAsk {
    CalendarAsk {
        unit: unit(calendar.unit),
        count: calendar.count,
        zone: calendar.time_zone,
        week_start: calendar.week_start,
        year_start: calendar.year_start.map(|start| (start.month, start.day)),
    }
}

fn fill(number: i32) -> Choice<Fill> {
    match query_range_request::Fill::try_from(number) {
        Err(_) => Choice::Unknown(number),
        Ok(query_range_request::Fill::Unspecified) => Choice::Unset,
        Ok(query_range_request::Fill::Zero) => Choice::Known(Fill::Zero),
        Ok(query_range_request::Fill::Previous) => Choice::Known(Fill::Previous),
    }
}

/// `GetTotal`'s question.
pub fn total_ask(request: GetTotalRequest, token: Token) -> TotalAsk {
    use get_total_request::At;
    TotalAsk {
        head: head(request.selection, request.as_of, request.page_size, token),
        at: request.at.map(|at| match at {
            At::AtTime(time) => instant(time),
            At::AtDate(date) => Moment::Date(date),
        }),
    }
}

/// `QueryRange`'s question.
pub fn range_ask(request: QueryRangeRequest, token: Token) -> RangeAsk {
    use query_range_request::{End, Start};
    RangeAsk {
        head: head(request.selection, request.as_of, request.page_size, token),
        calendar: request.calendar.map(calendar),
        start: request.start.map(|at| match at {
            Start::StartTime(time) => instant(time),
            Start::StartDate(date) => Moment::Date(date),
        }),
        end: request.end.map(|at| match at {
            End::EndTime(time) => instant(time),
            End::EndDate(date) => Moment::Date(date),
        }),
        fill: fill(request.fill),
        beside: Beside::Nothing,
    }
}

/// `QueryCumulative`'s question.
pub fn cumulative_ask(request: QueryCumulativeRequest, token: Token) -> RangeAsk {
    use query_cumulative_request::{End, Start};
    RangeAsk {
        head: head(request.selection, request.as_of, request.page_size, token),
        calendar: request.calendar.map(calendar),
        start: request.start.map(|at| match at {
            Start::StartTime(time) => instant(time),
            Start::StartDate(date) => Moment::Date(date),
        }),
        end: request.end.map(|at| match at {
            End::EndTime(time) => instant(time),
            End::EndDate(date) => Moment::Date(date),
        }),
        fill: fill(request.fill),
        beside: Beside::Totals(unit(request.restart)),
    }
}

/// `ListMilestones`' question.
pub fn milestones_ask(request: ListMilestonesRequest, token: Token) -> MilestonesAsk {
    use list_milestones_request::{End, Ladder, NamedLadder as Named};
    MilestonesAsk {
        head: head(request.selection, request.as_of, request.page_size, token),
        ladder: match request.ladder {
            None => LadderAsk::Unset,
            Some(Ladder::Thresholds(list)) => LadderAsk::List(list.values),
            Some(Ladder::Every(step)) => LadderAsk::Every(step),
            Some(Ladder::Named(number)) => LadderAsk::Named(match Named::try_from(number) {
                Err(_) => Choice::Unknown(number),
                Ok(Named::Unspecified) => Choice::Unset,
                Ok(Named::OneTwoFive) => Choice::Known(NamedLadder::OneTwoFive),
                Ok(Named::PowersOfTen) => Choice::Known(NamedLadder::PowersOfTen),
            }),
        },
        end: request.end.map(|at| match at {
            End::EndTime(time) => instant(time),
            End::EndDate(date) => Moment::Date(date),
        }),
    }
}

/// `ReadPoints`' question.
pub fn points_ask(request: ReadPointsRequest) -> PointsAsk {
    use read_points_request::{End, Form as Said, Start};
    PointsAsk {
        head: head(request.selection, request.as_of, 0, Ok(None)),
        start: request.start.map(|at| match at {
            Start::StartTime(time) => instant(time),
            Start::StartDate(date) => Moment::Date(date),
        }),
        end: request.end.map(|at| match at {
            End::EndTime(time) => instant(time),
            End::EndDate(date) => Moment::Date(date),
        }),
        form: match Said::try_from(request.form) {
            Err(_) => Choice::Unknown(request.form),
            Ok(Said::Unspecified) => Choice::Unset,
            Ok(Said::Columns) => Choice::Known(Form::Columns),
            Ok(Said::Points) => Choice::Known(Form::Points),
        },
    }
}

/// `ListChanges`' question.
pub fn changes_ask(request: ListChangesRequest, token: Token) -> ChangesAsk {
    use list_changes_request::Interval;
    ChangesAsk {
        head: head(request.selection, None, request.page_size, token),
        include_new: request.include_new,
        interval: match request.interval {
            None => ChangesIntervalAsk::Unset,
            Some(Interval::Revisions(asked)) => ChangesIntervalAsk::Revisions(asked.start_revision, asked.end_revision),
            Some(Interval::RecordTimes(asked)) => {
                ChangesIntervalAsk::Recorded(asked.start_time.map(instant), asked.end_time.map(instant))
            }
        },
    }
}

/// Why a question has no answer, as faults.
pub fn refused(error: QueryError) -> Faults {
    match error {
        QueryError::Faults(list) => {
            let mut faults = Faults::new();
            for fault in list {
                faults.push(self::fault(fault));
            }
            faults
        }
        QueryError::Closed => refused::draining().into(),
        QueryError::Store(error) => refused::store(&error).into(),
    }
}

fn fault(fault: query::Fault) -> Fault {
    let reason = reason(fault.reason);
    let told = Fault::new(reason, fault.field, fault.message);
    fault.metadata.into_iter().fold(told, |told, (key, value)| match (reason, key) {
        (Reason::MetricNotFound, "metric") => told.of_metric(value),
        _ => told.with(key, value),
    })
}

fn reason(reason: query::Reason) -> Reason {
    match reason {
        query::Reason::FieldRequired => Reason::FieldRequired,
        query::Reason::FieldInvalid => Reason::FieldInvalid,
        query::Reason::TooLarge => Reason::TooLarge,
        query::Reason::TimeInvalid => Reason::TimeInvalid,
        query::Reason::IntervalEmpty => Reason::IntervalEmpty,
        query::Reason::ValueOutOfRange => Reason::ValueOutOfRange,
        query::Reason::NotAdditive => Reason::NotAdditive,
        query::Reason::ThresholdInvalid => Reason::ThresholdInvalid,
        query::Reason::FillDiffers => Reason::FillDiffers,
        query::Reason::LabelUnknown => Reason::LabelUnknown,
        query::Reason::PageTokenInvalid => Reason::PageTokenInvalid,
        query::Reason::TimeZoneUnknown => Reason::TimeZoneUnknown,
        query::Reason::QuestionTooCostly => Reason::QuestionTooCostly,
        query::Reason::AsOfInFuture => Reason::AsOfInFuture,
        query::Reason::MetricNotFound => Reason::MetricNotFound,
    }
}

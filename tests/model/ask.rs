//! Every call of the contract as one value, so that oracle and service can be asked alike.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::oracle::{Oracle, Refused};

/// A question, or a change asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Create(CreateMetricRequest),
    Update(UpdateMetricRequest),
    Delete(DeleteMetricRequest),
    Metric(GetMetricRequest),
    Metrics(ListMetricsRequest),
    Components(ListComponentsRequest),
    Series(ListSeriesRequest),
    Write(WritePointsRequest),
    Retract(RetractPointsRequest),
    Opening(SetOpeningBalanceRequest),
    Total(GetTotalRequest),
    Range(QueryRangeRequest),
    Cumulative(QueryCumulativeRequest),
    Milestones(ListMilestonesRequest),
    Read(ReadPointsRequest),
    Changes(ListChangesRequest),
}

/// The points of one series, by its labels.
pub type SeriesRead = (BTreeMap<String, String>, Vec<Point>);

/// A whole answer: of calls with pages all pages joined, of a stream all messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Create(CreateMetricResponse),
    Update(UpdateMetricResponse),
    Delete(DeleteMetricResponse),
    Metric(GetMetricResponse),
    Metrics(ListMetricsResponse),
    Components(ListComponentsResponse),
    Series(ListSeriesResponse),
    Write(WritePointsResponse),
    Retract(RetractPointsResponse),
    Opening(SetOpeningBalanceResponse),
    Total(GetTotalResponse),
    Range(QueryRangeResponse),
    Cumulative(QueryCumulativeResponse),
    Milestones(ListMilestonesResponse),
    Read(Answer, Vec<SeriesRead>),
    Changes(ListChangesResponse),
}

impl Ask {
    /// The metric it is about; of a batch of several, the first; of a list of metrics, none.
    pub fn metric(&self) -> &str {
        match self {
            Ask::Create(r) => &r.metric.as_ref().expect("a metric is given").name,
            Ask::Update(r) => &r.metric.as_ref().expect("a metric is given").name,
            Ask::Delete(r) => &r.name,
            Ask::Metric(r) => &r.name,
            Ask::Metrics(_) | Ask::Components(_) => "",
            Ask::Series(r) => &r.metric,
            Ask::Write(r) => &r.series[0].metric,
            Ask::Retract(r) => &r.metric,
            Ask::Opening(r) => &r.metric,
            Ask::Total(r) => named(&r.selection),
            Ask::Range(r) => named(&r.selection),
            Ask::Cumulative(r) => named(&r.selection),
            Ask::Milestones(r) => named(&r.selection),
            Ask::Read(r) => named(&r.selection),
            Ask::Changes(r) => named(&r.selection),
        }
    }

    /// Whether it asks for a change.
    pub fn changes(&self) -> bool {
        use Ask::*;
        matches!(self, Create(_) | Update(_) | Delete(_) | Write(_) | Retract(_) | Opening(_))
    }

    /// The request id of a change that has one.
    pub fn request_id(&self) -> Option<&str> {
        let id = match self {
            Ask::Write(r) => &r.request_id,
            Ask::Retract(r) => &r.request_id,
            Ask::Opening(r) => &r.request_id,
            _ => return None,
        };
        (!id.is_empty()).then_some(id)
    }

    /// The as-of of a question that has one.
    pub fn as_of(&mut self) -> Option<&mut Option<AsOf>> {
        match self {
            Ask::Total(r) => Some(&mut r.as_of),
            Ask::Range(r) => Some(&mut r.as_of),
            Ask::Cumulative(r) => Some(&mut r.as_of),
            Ask::Milestones(r) => Some(&mut r.as_of),
            Ask::Read(r) => Some(&mut r.as_of),
            _ => None,
        }
    }
}

fn named(selection: &Option<Selection>) -> &str {
    &selection.as_ref().expect("a selection is given").metric
}

impl Oracle {
    /// Answers, or changes, what is asked.
    pub fn ask(&mut self, ask: &Ask, now: i64) -> Result<Reply, Refused> {
        let answered = self.answer(ask, now);
        let Err(refused) = &answered else { return answered };
        if refused.reason != Reason::AsOfInFuture {
            return answered;
        }
        // A fault of the state: those of form come first. What they are is told by the same question as of now.
        let mut now_asked = ask.clone();
        *now_asked.as_of().expect("it had one") = None;
        match self.answer(&now_asked, now) {
            // This one is of form where the kind alone decides, else of what is there at the revision.
            Err(form) if form.reason == Reason::NotAdditive && matches!(ask, Ask::Range(_) | Ask::Milestones(_)) => {
                answered
            }
            Err(form) if form.code == tonic::Code::InvalidArgument => Err(form),
            _ => answered,
        }
    }

    fn answer(&mut self, ask: &Ask, now: i64) -> Result<Reply, Refused> {
        Ok(match ask {
            Ask::Create(r) => Reply::Create(self.create_metric(r, now)?),
            Ask::Update(r) => Reply::Update(self.update_metric(r, now)?),
            Ask::Delete(r) => Reply::Delete(self.delete_metric(r, now)?),
            Ask::Metric(r) => Reply::Metric(self.get_metric(r)?),
            Ask::Metrics(r) => Reply::Metrics(self.list_metrics(r)),
            Ask::Components(_) => Reply::Components(self.list_components()),
            Ask::Series(r) => Reply::Series(self.list_series(r, now)?),
            Ask::Write(r) => Reply::Write(self.write_points(r, now)?),
            Ask::Retract(r) => Reply::Retract(self.retract_points(r, now)?),
            Ask::Opening(r) => Reply::Opening(self.set_opening_balance(r, now)?),
            Ask::Total(r) => Reply::Total(self.get_total(r, now)?),
            Ask::Range(r) => Reply::Range(self.query_range(r, now)?),
            Ask::Cumulative(r) => Reply::Cumulative(self.query_cumulative(r, now)?),
            Ask::Milestones(r) => Reply::Milestones(self.list_milestones(r, now)?),
            Ask::Read(r) => {
                let (answer, series) = self.read_points(r, now)?;
                Reply::Read(answer, series)
            }
            Ask::Changes(r) => Reply::Changes(self.list_changes(r, now)?),
        })
    }
}

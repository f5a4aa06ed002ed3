//! The only place that builds a `Status`: the first fault's code and reason, one ErrorInfo, and all trailers under
//! 6 KiB however many faults there are.

use super::fault::{Fault, Faults, Reason, cut_to};
use crate::domain::limit::TRAILER_BYTES_MAX;
use crate::proto::v1::{Refusal, Violation};
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use tonic::{Code, Status};
use tonic_types::pb;

/// ErrorInfo's domain.
pub const DOMAIN: &str = "milepost";
/// Bytes of one description. Longer ones are cut.
const DESCRIPTION_BYTES_MAX: usize = 600;
/// Bytes of one field's path. Longer ones are cut.
const FIELD_BYTES_MAX: usize = 150;
/// Bytes of a quota's description. Longer ones are cut: the message says it all.
const QUOTA_BYTES_MAX: usize = 200;
/// Bytes of all metadata but the field and the count; what does not fit is left out.
const METADATA_BYTES_MAX: usize = 900;
/// Bytes that trailers take beside the message and the details: names, the code, HTTP/2's 32 bytes a header.
const TRAILER_BYTES_OVERHEAD: usize = 300;

/// The one code of a reason.
pub fn code_of(reason: Reason) -> Code {
    use Reason::*;
    match reason {
        Unspecified => Code::Unknown,
        FieldRequired | FieldInvalid | TooLarge | MalformedRequest | TimeInvalid | IntervalEmpty | ValueInvalid
        | ValueOutOfRange | Misaligned | LabelsDiffer | DuplicatePoint | NotAdditive | KindDiffers
        | ThresholdInvalid | FillDiffers | LabelUnknown | PageTokenInvalid | ComponentsDiffer | TimeZoneUnknown
        | QuestionTooCostly => Code::InvalidArgument,
        PeriodsOverlap | LevelFell | BeforeOpening | MetricInUse | RequestIdReused | AsOfInFuture | SumOutOfRange
        | EndTimeDiffers => Code::FailedPrecondition,
        MetricNotFound => Code::NotFound,
        MetricDiffers => Code::AlreadyExists,
        TokenInvalid => Code::Unauthenticated,
        NotAllowed => Code::PermissionDenied,
        WritesBehind | RequestIdsFull | TooManyCalls | DiskFull => Code::ResourceExhausted,
        Draining | DiskFailed => Code::Unavailable,
        StoreDamaged => Code::DataLoss,
        DeadlinePassed => Code::DeadlineExceeded,
    }
}

/// Message of a refusal: the first fault's, with its field, and how many more there are.
fn message(faults: &Faults, first: &Fault) -> String {
    let mut text = description(first).to_owned();
    if !first.field.is_empty() {
        text = format!("{}: {text}", cut_to(&first.field, FIELD_BYTES_MAX));
    }
    match faults.count() {
        0 | 1 => text,
        2 => text + " (and 1 more fault)",
        n => format!("{text} (and {} more faults)", n - 1),
    }
}

fn description(fault: &Fault) -> &str {
    cut_to(&fault.description, DESCRIPTION_BYTES_MAX)
}

fn metadata(faults: &Faults, first: &Fault) -> BTreeMap<String, String> {
    let mut map = BTreeMap::from([("fault_count".to_owned(), faults.count().to_string())]);
    if !first.field.is_empty() {
        map.insert("field".to_owned(), cut_to(&first.field, FIELD_BYTES_MAX).to_owned());
    }
    let mut bytes = 0;
    for (key, value) in &first.metadata {
        bytes += key.len() + value.len();
        if bytes <= METADATA_BYTES_MAX {
            map.insert((*key).to_owned(), value.clone());
        }
    }
    map
}

fn duration(nanos: i64) -> prost_types::Duration {
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    prost_types::Duration { seconds, nanos: i32::try_from(nanos).expect("less than a second") }
}

fn packed(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

/// The details but for the violations.
fn details(faults: &Faults, first: &Fault) -> Vec<prost_types::Any> {
    let metadata: HashMap<String, String> = metadata(faults, first).into_iter().collect();
    let info = pb::ErrorInfo { reason: first.reason.as_str_name().to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![packed("ErrorInfo", &info)];
    if let Some(nanos) = first.retry_after_nanos {
        details.push(packed("RetryInfo", &pb::RetryInfo { retry_delay: Some(duration(nanos)) }));
    }
    if let Some(metric) = &first.metric {
        details.push(packed(
            "ResourceInfo",
            &pb::ResourceInfo {
                resource_type: "milepost.v1.Metric".to_owned(),
                resource_name: metric.clone(),
                owner: String::new(),
                description: String::new(),
            },
        ));
    }
    if let Some(subject) = first.quota {
        let violation = pb::quota_failure::Violation {
            subject: subject.to_owned(),
            description: cut_to(&first.description, QUOTA_BYTES_MAX).to_owned(),
            ..Default::default()
        };
        details.push(packed("QuotaFailure", &pb::QuotaFailure { violations: vec![violation] }));
    }
    details
}

/// Bytes of base64 without padding.
fn base64_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Bytes of a message in `grpc-message`, held high: every byte that may be escaped counts thrice.
fn escaped_len(text: &str) -> usize {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b" .,:;()[]_-/'=".contains(&b) { 1 } else { 3 }).sum()
}

impl From<Faults> for Status {
    fn from(faults: Faults) -> Status {
        let Some(first) = faults.iter().next() else {
            return Status::new(Code::Unknown, "no fault");
        };
        let code = code_of(first.reason);
        let message = message(&faults, first);
        let mut status = pb::Status { code: code as i32, message, details: details(&faults, first) };
        let spent = TRAILER_BYTES_OVERHEAD + escaped_len(&status.message);
        let mut request = pb::BadRequest::default();
        let room = |status: &pb::Status, request: &pb::BadRequest| {
            // type URL and framing of the BadRequest
            spent + base64_len(status.encoded_len() + request.encoded_len() + 60) <= TRAILER_BYTES_MAX
        };
        for fault in faults.iter().filter(|f| !f.field.is_empty()) {
            request.field_violations.push(pb::bad_request::FieldViolation {
                field: cut_to(&fault.field, FIELD_BYTES_MAX).to_owned(),
                description: description(fault).to_owned(),
                reason: fault.reason.as_str_name().to_owned(),
                localized_message: None,
            });
            if !room(&status, &request) {
                request.field_violations.pop();
                break;
            }
        }
        if !request.field_violations.is_empty() {
            status.details.insert(1, packed("BadRequest", &request));
        }
        let bytes = status.encode_to_vec();
        Status::with_details(code, status.message, bytes.into())
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Status {
        Faults::from(fault).into()
    }
}

/// A refusal in a stream: like the status of a unary call, with up to 1,000 violations.
pub fn refusal(faults: &Faults) -> Refusal {
    let Some(first) = faults.iter().next() else {
        return Refusal::default();
    };
    let violations = faults.iter().filter(|f| !f.field.is_empty()).map(|fault| Violation {
        field: cut_to(&fault.field, FIELD_BYTES_MAX).to_owned(),
        description: description(fault).to_owned(),
        reason: fault.reason as i32,
    });
    Refusal {
        // the numbers of Refusal.Code are google.rpc.Code's
        code: code_of(first.reason) as i32,
        reason: first.reason as i32,
        message: message(faults, first),
        metadata: metadata(faults, first),
        violations: violations.collect(),
        retry_delay: first.retry_after_nanos.map(duration),
    }
}

/// A call that took longer than its caller gave it.
pub fn deadline_passed() -> Status {
    let fix =
        "the time that the caller gave has passed; a write may have been made, send it again under its request_id";
    Fault::new(Reason::DeadlinePassed, "", fix).into()
}

/// A call beyond what the server takes at once.
pub fn too_many_calls(calls_max: usize) -> Status {
    let why = format!("{calls_max} calls are being served already; try again, with fewer at once");
    Fault::new(Reason::TooManyCalls, "", why)
        .with("calls_max", calls_max)
        .retry_after(100_000_000)
        .of_quota("calls")
        .into()
}

/// What tonic itself refused, told as the contract tells it: over-long messages are OUT_OF_RANGE there, undecodable
/// ones INTERNAL, a deadline that passed CANCELLED.
pub fn told_by_contract(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let what = status.message();
    match status.code() {
        Code::OutOfRange => Fault::new(
            Reason::TooLarge,
            "",
            format!("the message is over 4 MiB; send several smaller ones ({})", cut_to(what, 200)),
        )
        .with("cause", what)
        .into(),
        Code::Internal | Code::ResourceExhausted => Fault::new(
            Reason::MalformedRequest,
            "",
            format!("the message could not be decoded; send what the proto files describe ({})", cut_to(what, 200)),
        )
        .with("cause", what)
        .into(),
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tonic_types::StatusExt;

    /// Bytes of the trailers as tonic writes them.
    fn trailer_bytes(status: &Status) -> usize {
        let response = status.clone().into_http::<()>();
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        let values = prop::collection::vec("\\PC{0,300}", 0..6);
        ("\\PC{0,1000}", "\\PC{0,1500}", values, any::<bool>()).prop_map(|(field, description, values, rest)| {
            let mut fault = Fault::new(Reason::LabelsDiffer, field, description);
            for (key, value) in ["a", "b", "c", "d", "e", "f"].into_iter().zip(values) {
                fault = fault.with(key, value);
            }
            if rest { fault.of_metric("é".repeat(100)).retry_after(1).of_quota("ids") } else { fault }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_trailers_stay_under_6_kib(list in prop::collection::vec(any_fault(), 1..40)) {
            let mut faults = Faults::new();
            for fault in &list {
                faults.push(fault.clone());
            }
            let status = Status::from(faults);
            prop_assert!(trailer_bytes(&status) < TRAILER_BYTES_MAX);
            let info = status.get_details_error_info().expect("exactly one ErrorInfo");
            prop_assert_eq!(info.reason, "LABELS_DIFFER");
            prop_assert_eq!(info.domain, "milepost");
            prop_assert_eq!(&info.metadata["fault_count"], &list.len().to_string());
        }
    }

    #[test]
    fn every_reason_has_a_code() {
        for number in 1..=120 {
            if let Ok(reason) = Reason::try_from(number) {
                assert!(!matches!(code_of(reason), Code::Unknown | Code::Internal | Code::Ok), "{reason:?}");
            }
        }
    }

    #[test]
    fn the_first_fault_gives_code_and_reason() {
        let mut faults = Faults::new();
        faults.push_at((1, 0, 0), || Fault::new(Reason::LabelsDiffer, "series[1].labels", "differ"));
        faults.push_at((0, 7, 0), || {
            Fault::new(Reason::Misaligned, "series[0].points[7].time", "is not a boundary").with("time", "x")
        });
        let refused = refusal(&faults);
        let status = Status::from(faults);
        assert_eq!(status.message(), "series[0].points[7].time: is not a boundary (and 1 more fault)");
        assert_eq!(status.message(), refused.message);
        assert_eq!(status.code() as i32, refused.code);
        assert_eq!(refused.reason(), Reason::Misaligned);
        let fields: Vec<_> = status.get_details_bad_request().expect("violations").field_violations;
        assert_eq!(fields.iter().map(|v| &*v.reason).collect::<Vec<_>>(), ["MISALIGNED", "LABELS_DIFFER"]);
        assert_eq!(refused.violations.len(), 2);
    }
}

//! Changes out; definitions as protobuf JSON.

use crate::domain::decimal;
use crate::domain::definition::Definition;
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::engine::view::{ChangeKind, ChangeRow};
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::v1::{self, change::Kind};
use crate::query::changes::ChangesPage;
use crate::service::convert::labels_map;
use crate::service::convert::metric::message;
use crate::service::convert::time::timestamp;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use std::sync::LazyLock;

static METRIC: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("build.rs wrote descriptors");
    pool.get_message_by_name("milepost.v1.Metric").expect("the contract has it")
});

/// `ListChanges`' answer.
pub fn changes(page: &ChangesPage, next_page_token: String) -> v1::ListChangesResponse {
    v1::ListChangesResponse {
        changes: page.rows.iter().map(|row| change(row, &page.definition)).collect(),
        next_page_token,
        revision: page.revision,
    }
}

fn change(row: &ChangeRow, definition: &Definition) -> v1::Change {
    let value = |point: &Point| Some(decimal::format(point.value.into(), definition.scale));
    let (kind, time, old_value, new_value) = match &row.kind {
        ChangeKind::New(new) => (Kind::New, Some(new.time), None, value(new)),
        ChangeKind::Corrected(old, new) => (Kind::Corrected, Some(new.time), value(old), value(new)),
        ChangeKind::Added(old, new) => (Kind::Added, Some(new.time), value(old), value(new)),
        ChangeKind::Retracted(old) => (Kind::Retracted, Some(old.time), value(old), None),
        ChangeKind::Opening(old, new) => {
            let time: Option<Time> = new.as_ref().or(old.as_ref()).map(|opening| opening.time);
            let value = |units: i64| decimal::format(units.into(), definition.scale);
            let text = |opening: &Option<_>| opening.as_ref().map(|o: &crate::domain::point::Opening| value(o.value));
            (Kind::Opening, time, text(old), text(new))
        }
        ChangeKind::Metric(old, new) => (Kind::Metric, None, old.as_deref().map(json), new.as_deref().map(json)),
    };
    v1::Change {
        kind: kind as i32,
        metric: definition.name.to_string(),
        labels: row.labels.as_ref().map(|labels| labels_map(labels, definition)).unwrap_or_default(),
        time: time.map(timestamp),
        old_value,
        new_value,
        revision: row.revision,
        record_time: Some(timestamp(row.record_time)),
        who: row.who.to_string(),
        reason: row.reason.to_string(),
    }
}

/// A definition as protobuf JSON.
fn json(definition: &Definition) -> String {
    let bytes = message(definition).encode_to_vec();
    let message = DynamicMessage::decode(METRIC.clone(), bytes.as_slice()).expect("it was encoded as this message");
    serde_json::to_string(&message).expect("every message has a JSON form")
}

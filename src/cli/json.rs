//! An answer as protobuf JSON.

use super::error::Error;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// The answer's protobuf JSON, indented. `name` is the message's, without the package.
pub(super) fn text<M: Message>(name: &str, message: &M) -> Result<String, Error> {
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::pretty(&mut json);
    dynamic(name, message)?
        .serialize_with_options(&mut writer, &SerializeOptions::new())
        .map_err(|e| Error::Failed(format!("cannot write {name} as JSON: {e}")))?;
    json.push(b'\n');
    String::from_utf8(json).map_err(|e| Error::Failed(format!("cannot write {name} as JSON: {e}")))
}

fn dynamic<M: Message>(name: &str, message: &M) -> Result<DynamicMessage, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write {name} as JSON: {e}"));
    let pool = DescriptorPool::decode(crate::proto::ALL_DESCRIPTORS).map_err(|e| failed(&e))?;
    let descriptor =
        pool.get_message_by_name(&format!("milepost.v1.{name}")).ok_or_else(|| failed(&"it is not in the contract"))?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(|e| failed(&e))
}

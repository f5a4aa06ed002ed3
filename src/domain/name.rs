//! Names of components, metrics and labels, checked.

use std::fmt;
use std::sync::Arc;

/// A component's name: `[a-z][a-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentName(Arc<str>);

/// A metric's full name, `component/metric`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricName {
    full: Arc<str>,
    slash: usize,
}

/// `[a-z][a-z0-9._-]{0,62}`, the form of both parts of a metric's name.
pub fn is_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b))
}

/// `[A-Za-z_][A-Za-z0-9_.-]{0,127}`, the form of a label's name.
pub fn is_label_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len())
        && (bytes[0].is_ascii_alphabetic() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
}

/// Any text of 1 to 256 bytes without control characters: the form of a label's value.
pub fn is_label_value(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl ComponentName {
    /// None where the text is not of the form.
    pub fn parse(text: &str) -> Option<ComponentName> {
        is_part(text).then(|| ComponentName(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MetricName {
    /// None where the text is not `component/metric`, both of the form.
    pub fn parse(text: &str) -> Option<MetricName> {
        let (component, metric) = text.split_once('/')?;
        (is_part(component) && is_part(metric)).then(|| MetricName { full: text.into(), slash: component.len() })
    }

    /// `component/metric`.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The component it belongs to.
    pub fn component(&self) -> ComponentName {
        ComponentName(self.full[..self.slash].into())
    }

    /// The part after the slash.
    pub fn metric(&self) -> &str {
        &self.full[self.slash + 1..]
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

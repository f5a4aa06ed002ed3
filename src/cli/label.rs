//! Labels on the command line: `channel=email` for a series, `channel=email` or `channel!=test` for a selection.

use crate::proto::v1::LabelFilter;
use std::collections::BTreeMap;
use std::str::FromStr;

/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Label, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                Ok(Label { name: name.into(), value: value.into() })
            }
            _ => Err(format!("{text:?} is not NAME=VALUE, as channel=email")),
        }
    }
}

/// A series' labels. The same name twice cannot be.
pub(super) fn series_labels(labels: &[Label]) -> Result<BTreeMap<String, String>, super::Error> {
    let mut map = BTreeMap::new();
    for label in labels {
        if map.insert(label.name.clone(), label.value.clone()).is_some() {
            return Err(super::Error::Usage(format!("--label {} is given twice", label.name)));
        }
    }
    Ok(map)
}

/// `NAME=VALUE` keeps, `NAME!=VALUE` leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    label: Label,
    keeps: bool,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let (keeps, parts) = match text.split_once("!=") {
            Some((name, value)) if !name.contains('=') => (false, (name, value)),
            _ => (true, text.split_once('=').unwrap_or((text, ""))),
        };
        if parts.0.is_empty() || parts.1.is_empty() {
            return Err(format!("{text:?} is neither NAME=VALUE nor NAME!=VALUE, as channel=email"));
        }
        Ok(Condition { label: Label { name: parts.0.into(), value: parts.1.into() }, keeps })
    }
}

/// One filter a label: values of one name are alternatives, names are joint conditions.
pub(super) fn filters(conditions: &[Condition]) -> Vec<LabelFilter> {
    let mut by_label: BTreeMap<&str, LabelFilter> = BTreeMap::new();
    for condition in conditions {
        let filter = by_label.entry(&condition.label.name).or_insert_with(|| LabelFilter {
            label: condition.label.name.clone(),
            any_of: Vec::new(),
            none_of: Vec::new(),
        });
        let values = if condition.keeps { &mut filter.any_of } else { &mut filter.none_of };
        values.push(condition.label.value.clone());
    }
    by_label.into_values().collect()
}

/// `channel=email, org=dvla`.
pub(super) fn text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_one_label_are_one_filter() {
        let conditions: Vec<Condition> = ["channel=email", "kind!=test", "channel=text", "kind!=a=b"]
            .iter()
            .map(|t| t.parse().expect("well formed"))
            .collect();
        let filters = filters(&conditions);
        assert_eq!(filters.len(), 2);
        assert_eq!(
            (filters[0].label.as_str(), filters[0].any_of.as_slice()),
            ("channel", &["email".into(), "text".into()][..])
        );
        assert_eq!(
            (filters[1].label.as_str(), filters[1].none_of.as_slice()),
            ("kind", &["test".into(), "a=b".into()][..])
        );
        assert_eq!("url=a!=b".parse(), Ok(Condition { label: "url=a!=b".parse().expect("a label"), keeps: true }));
        for wrong in ["", "channel", "channel=", "=email", "!=email", "channel!="] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}

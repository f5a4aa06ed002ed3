//! A figure: what was measured, for people and, with `--json`, for the script that makes the table.

/// One measured figure of a row of the table.
#[derive(Clone)]
pub struct Figure {
    /// The row.
    pub row: u32,
    /// What.
    pub what: String,
    /// How much or how many.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

impl Figure {
    /// Any figure.
    pub fn of(row: u32, what: &str, value: f64, unit: &'static str) -> Figure {
        Figure { row, what: what.to_string(), value, unit }
    }

    /// Points a second.
    pub fn rate(row: u32, what: &str, points: u64, seconds: f64) -> Figure {
        Figure::of(row, what, points as f64 / seconds / 1e6, "M points/s")
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        let Figure { row, what, value, unit } = self;
        serde_json::json!({ "row": row, "what": what, "value": value, "unit": unit }).to_string()
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figure { row, what, value, unit } = self;
        write!(f, "{row:>3}  {what:<70} {value:>12.4} {unit}")
    }
}

/// The middle one of several; `share` of them are at most this: 0.5 is the median, 0.99 what one in a hundred exceeds.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

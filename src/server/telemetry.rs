//! Where logs go: to stderr, for people on a terminal, as JSON otherwise.

use std::io::IsTerminal;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `filter` names a level, or levels of modules: `info`, `warn,milepost=debug`. One that cannot be read is
/// said so, and `info` taken.
pub fn init(filter: &str) {
    let (read, wrong) = match filter.parse::<Targets>() {
        Ok(read) => (read, None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(read);
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // a second call, in tests, changes nothing
    let _ = if std::io::stderr().is_terminal() {
        registry.with(written).try_init()
    } else {
        registry.with(written.json().flatten_event(true).with_span_list(false)).try_init()
    };
    if let Some(error) = wrong {
        tracing::warn!(filter, %error, "MILEPOST_LOG cannot be read; info is taken");
    }
}

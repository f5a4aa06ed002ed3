//! Where logs go: to stderr, for people on a terminal, as JSON otherwise.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `filter` is a `tracing` filter as `info` or `milepost=debug`; one that cannot be read is said so,
/// and `info` taken.
pub fn init(filter: &str) {
    let (read, wrong) = match EnvFilter::try_new(filter) {
        Ok(read) => (read, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
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

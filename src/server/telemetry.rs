//! Where logs go: to stderr, for people on a terminal, as JSON otherwise.

use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging: what `MILEPOST_LOG` says, a level or levels of modules (`info`, `warn,milepost=debug`); where it says
/// nothing, `level`. What cannot be read is said so, and `level` taken.
pub fn init(level: LevelFilter) {
    let said = std::env::var("MILEPOST_LOG").unwrap_or_default();
    let (filter, wrong) = read(&said, level);
    let registry = tracing_subscriber::registry().with(filter);
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // a second call, in tests, changes nothing
    let _ = if std::io::stderr().is_terminal() {
        registry.with(written).try_init()
    } else {
        registry.with(written.json().flatten_event(true).with_span_list(false)).try_init()
    };
    if let Some(error) = wrong {
        tracing::warn!(said, error, "MILEPOST_LOG cannot be read; {level} is taken");
    }
}

/// What is logged, and what is wrong with what was said of it.
fn read(said: &str, level: LevelFilter) -> (Targets, Option<String>) {
    let default = Targets::new().with_default(level);
    match said.trim() {
        "" => (default, None),
        said => match said.parse() {
            Ok(filter) => (filter, None),
            Err(error) => (default, Some(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    /// The most detailed level that is logged of milepost, and of others.
    fn logged(said: &str) -> (Option<Level>, Option<Level>, bool) {
        let (filter, wrong) = read(said, LevelFilter::INFO);
        let most = |module| {
            let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
            levels.into_iter().find(|level| filter.would_enable(module, level))
        };
        (most("milepost::engine"), most("h2"), wrong.is_some())
    }

    #[test]
    fn a_level_or_levels_of_modules_are_logged_and_else_what_is_usual() {
        let (info, warn, debug) = (Some(Level::INFO), Some(Level::WARN), Some(Level::DEBUG));
        assert_eq!(logged("warn"), (warn, warn, false));
        assert_eq!(logged("WARN,milepost=debug"), (debug, warn, false));
        assert_eq!(logged("off"), (None, None, false));
        for nothing in ["", "  "] {
            assert_eq!(logged(nothing), (info, info, false));
        }
        assert_eq!(logged("milepost=loud"), (info, info, true));
    }
}

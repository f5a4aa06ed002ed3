//! What a server is told: plain data, validated once. Reading it binds no port and opens no file but its own.

use crate::store::embedded::StoreSettings;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything there is to set. A TOML file may say any of it; keys it does not know are refused.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where everything is kept; made if it is not there.
    pub data_dir: PathBuf,
    /// What one client may ask of the server, and all together.
    pub limits: Limits,
    /// How the engine is tuned.
    pub engine: EngineConfig,
    /// How the files of the data directory are cut.
    pub store: StoreConfig,
}

/// What one client may ask of the server, and all together.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls served at once, streams included; more get RESOURCE_EXHAUSTED.
    pub calls_max: usize,
    /// Calls of one connection served at once; more wait.
    pub calls_per_connection_max: u32,
    /// How long calls in flight may take once the server is told to stop, in milliseconds.
    pub drain_ms: u64,
}

/// How the engine is tuned.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Bytes of changed blocks in memory, and 256 for each series of each batch, that start a fold.
    pub memtable_bytes_max: usize,
    /// Bytes of log not yet folded that start a fold.
    pub unfolded_bytes_max: u64,
    /// Request ids that are remembered, at most.
    pub request_ids_max: usize,
    /// Bytes of decoded blocks and nodes that are cached.
    pub cache_bytes_max: usize,
    /// Bytes that the fold files, or the index, grow by at least before it is looked what of them is dead.
    pub sweep_bytes_min: u64,
}

/// How the files of the data directory are cut.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Bytes of a segment of the log, taken up on the disk ahead of use; opening starts with a sixteenth of it.
    pub segment_bytes: u64,
    /// Bytes of the index that are cached, counted as they are on disk.
    pub index_cache_bytes_max: u64,
    /// Bytes of the disk that are kept for folding where it is full otherwise; 0: none are.
    pub reserve_bytes: u64,
}

/// What is wrong with a configuration. Put the file right and start again.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML, or says what cannot be said.
    #[error("the config file {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A number is out of bounds.
    #[error("{key} = {value} is out of bounds: say {bounds}")]
    OutOfBounds {
        /// Its key.
        key: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        bounds: &'static str,
    },
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 6453)),
            data_dir: PathBuf::from("./milepost-data"),
            limits: Limits::default(),
            engine: EngineConfig::default(),
            store: StoreConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { calls_max: 10_000, calls_per_connection_max: 1_000, drain_ms: 10_000 }
    }
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        let settings = crate::engine::Settings::default();
        EngineConfig {
            memtable_bytes_max: settings.memtable_bytes_max,
            unfolded_bytes_max: settings.unfolded_bytes_max,
            request_ids_max: settings.request_ids_max,
            cache_bytes_max: settings.cache_bytes_max,
            sweep_bytes_min: settings.sweep_bytes_min,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        let StoreSettings { segment_bytes, index_cache_bytes_max, reserve_bytes } = StoreSettings::default();
        StoreConfig { segment_bytes, index_cache_bytes_max, reserve_bytes }
    }
}

impl Config {
    /// Reads a TOML file. `validate` it when the command line has had its say.
    #[expect(clippy::disallowed_methods, reason = "the file is the user's, not the store's")]
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
    }

    /// Whether every number is within its bounds.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let (limits, engine, store) = (&self.limits, &self.engine, &self.store);
        at_least("limits.calls_max", limits.calls_max as u64, 1, "1 or more")?;
        at_least("limits.calls_per_connection_max", limits.calls_per_connection_max.into(), 1, "1 or more")?;
        if limits.drain_ms > 3_600_000 {
            let (key, value) = ("limits.drain_ms", limits.drain_ms);
            return Err(ConfigError::OutOfBounds { key, value, bounds: "0 to 3600000" });
        }
        at_least("engine.memtable_bytes_max", engine.memtable_bytes_max as u64, 1 << 16, "65536 or more")?;
        at_least("engine.unfolded_bytes_max", engine.unfolded_bytes_max, 1 << 16, "65536 or more")?;
        at_least("engine.request_ids_max", engine.request_ids_max as u64, 1, "1 or more")?;
        at_least("engine.cache_bytes_max", engine.cache_bytes_max as u64, 1 << 20, "1048576 or more")?;
        at_least("engine.sweep_bytes_min", engine.sweep_bytes_min, 1 << 16, "65536 or more")?;
        if !(1 << 16..=1 << 30).contains(&store.segment_bytes) {
            let (key, value) = ("store.segment_bytes", store.segment_bytes);
            return Err(ConfigError::OutOfBounds { key, value, bounds: "65536 to 1073741824" });
        }
        at_least("store.index_cache_bytes_max", store.index_cache_bytes_max, 1 << 20, "1048576 or more")?;
        if store.reserve_bytes > 1 << 40 {
            let (key, value) = ("store.reserve_bytes", store.reserve_bytes);
            return Err(ConfigError::OutOfBounds { key, value, bounds: "0 to 1099511627776" });
        }
        Ok(self)
    }
}

fn at_least(key: &'static str, value: u64, least: u64, bounds: &'static str) -> Result<(), ConfigError> {
    if value < least { Err(ConfigError::OutOfBounds { key, value, bounds }) } else { Ok(()) }
}

impl Limits {
    /// How long calls in flight may take once the server is told to stop.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

impl EngineConfig {
    /// What the engine is opened with.
    pub fn settings(&self) -> crate::engine::Settings {
        crate::engine::Settings {
            memtable_bytes_max: self.memtable_bytes_max,
            unfolded_bytes_max: self.unfolded_bytes_max,
            request_ids_max: self.request_ids_max,
            cache_bytes_max: self.cache_bytes_max,
            sweep_bytes_min: self.sweep_bytes_min,
            ..crate::engine::Settings::default()
        }
    }
}

impl StoreConfig {
    /// What the embedded store is opened with.
    pub fn settings(&self) -> StoreSettings {
        let StoreConfig { segment_bytes, index_cache_bytes_max, reserve_bytes } = *self;
        StoreSettings { segment_bytes, index_cache_bytes_max, reserve_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        toml::from_str::<Config>(text)
            .map_err(|error| error.message().to_owned())
            .and_then(|config| config.validate().map_err(|error| error.to_string()))
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn what_is_said_stands() {
        let config = parse("listen = '0.0.0.0:7000'\n[limits]\ndrain_ms = 5\n[engine]\nrequest_ids_max = 9").unwrap();
        assert_eq!(config.listen.port(), 7000);
        assert_eq!(config.limits, Limits { drain_ms: 5, ..Limits::default() });
        assert_eq!(config.engine.settings().request_ids_max, 9);
    }

    #[test]
    fn unknown_keys_and_numbers_out_of_bounds_are_refused() {
        assert!(parse("listn = '0.0.0.0:7000'").unwrap_err().contains("unknown field `listn`"));
        assert!(parse("[limits]\ncalls = 1").unwrap_err().contains("unknown field `calls`"));
        assert_eq!(
            parse("[limits]\ncalls_max = 0").unwrap_err(),
            "limits.calls_max = 0 is out of bounds: say 1 or more"
        );
        assert_eq!(
            parse("[limits]\ndrain_ms = 3600001").unwrap_err(),
            "limits.drain_ms = 3600001 is out of bounds: say 0 to 3600000"
        );
        assert_eq!(
            parse("[store]\nsegment_bytes = 4096").unwrap_err(),
            "store.segment_bytes = 4096 is out of bounds: say 65536 to 1073741824"
        );
        assert!(parse("[store]\nreserve_bytes = 1099511627777").unwrap_err().contains("0 to 1099511627776"));
        assert!(parse("[engine]\nsweep_bytes_min = 65535").unwrap_err().contains("65536 or more"));
        assert!(parse("[engine]\nmemtable_bytes_max = 65535").unwrap_err().contains("65536 or more"));
    }
}

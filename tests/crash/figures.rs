//! How much a run does: a tenth in every `cargo test`, each figure whole in CI, any number in a campaign.

/// A number that the environment may say, else the default.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What the environment says under `name`; else `each_run` where `MILEPOST_EACH_RUN` is set, else `small`.
pub fn count(name: &str, small: u64, each_run: u64) -> u64 {
    number(name, if number("MILEPOST_EACH_RUN", 0) > 0 { each_run } else { small })
}

/// Where chance starts; every run says it.
pub fn seed(name: &str) -> u64 {
    number(name, 20_260_829)
}

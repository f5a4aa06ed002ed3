//! Texts that people write: decimals, times, dates, thresholds, names, the config file, CSV files.

use milepost::{
    config::Config,
    domain::{
        calendar::{Period, Zone},
        date, decimal as decimals,
        ladder::{Ladder, parse_threshold},
        name::{ComponentName, MetricName},
        time::Time,
    },
};

use crate::bend::bent;

/// A text of lines that are valid, one chosen and bent; the first byte is left for how it is read.
fn text(input: &[u8], samples: &[&str]) -> Option<(u8, String, bool)> {
    let (&how, rest) = input.split_first()?;
    let samples: Vec<Vec<u8>> = samples.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (bytes, valid) = bent(rest, &samples);
    Some((how, String::from_utf8_lossy(&bytes).into_owned(), valid))
}

pub const DECIMALS: [&str; 10] =
    ["0", "-1", "12.50", "9223372036854775807", "-9223372036854775808", "0.000000001", "-0.5", "007", "1.0", "100000"];

/// A decimal that is read is exact: written and read it is the same.
pub fn decimal(input: &[u8]) -> bool {
    let Some((how, text, _)) = text(input, &DECIMALS) else { return false };
    let scale = how % 10;
    let Ok(units) = decimals::parse(&text, scale) else { return false };
    let written = decimals::format(units.into(), scale);
    assert_eq!(decimals::parse(&written, scale), Ok(units), "{text:?} as {written:?}");
    assert_eq!(decimals::format(decimals::parse(&written, scale).expect("just read").into(), scale), written);
    true
}

pub const TIMES: [&str; 9] = [
    "2016-08-29T12:00:00Z",
    "2016-08-29T12:00:00+01:00",
    "1969-12-31T23:59:59.999999999Z",
    "1900-01-01T00:00:00Z",
    "2200-12-31T23:59:59.999999999Z",
    "2016-08-29t12:00:00.5z",
    "2024-02-29",
    "2023-02-29",
    "0000-01-01",
];

/// A time that is read is the same instant when it is written and read; a date is a day of its month.
pub fn time(input: &[u8]) -> bool {
    let Some((_, text, _)) = text(input, &TIMES) else { return false };
    let mut read = false;
    if let Ok(time) = Time::parse(&text) {
        assert_eq!(Time::parse(&time.to_string()), Ok(time), "{text:?}");
        let (seconds, nanos) = time.to_seconds_nanos();
        assert!((0..1_000_000_000).contains(&nanos));
        assert_eq!(Time::from_seconds_nanos(seconds, nanos), Some(time).filter(|time| time.is_input()));
        read = true;
    }
    if let Some(days) = date::parse(text.as_bytes()) {
        let (year, month, day) = date::date_of(days);
        assert!((1..=date::month_days(year, month)).contains(&day));
        assert_eq!(date::days_of(year, month, day), days);
        assert_eq!(format!("{year:04}-{month:02}-{day:02}"), text);
        read = true;
    }
    read
}

pub const THRESHOLDS: [&str; 8] = ["1m", "2.5bn", "10k", "0.001", "1000000", "-5", "999999999bn", "0.5k"];

/// A threshold is exact, and a ladder of it holds it.
pub fn thresholds(input: &[u8]) -> bool {
    let Some((how, text, _)) = text(input, &THRESHOLDS) else { return false };
    let scale = how % 10;
    let mut rungs = Vec::new();
    for one in text.split(',') {
        let Ok(threshold) = parse_threshold(one, scale) else { continue };
        let written = decimals::format(threshold, scale);
        assert_eq!(parse_threshold(&written, scale).ok(), Some(threshold), "{one:?} as {written:?}");
        rungs.push(threshold);
    }
    let ladder = Ladder::of(rungs.clone());
    for rung in &rungs {
        let ordinal = ladder.first_above(rung - 1).expect("it is in it");
        assert_eq!(ladder.rung(ordinal), Some(*rung));
        assert!(ladder.first_above(*rung).is_none_or(|next| ladder.rung(next) > Some(*rung)));
    }
    !rungs.is_empty()
}

pub const NAMES: [&str; 10] =
    ["govuk-pay/payments", "a/b", "a.b-c_d/e.f", "govuk-pay", "P1D", "PT15M", "P3M", "PT12H", "Europe/London", "UTC"];

/// Names, periods and zones are what was written.
pub fn name(input: &[u8]) -> bool {
    let Some((_, text, _)) = text(input, &NAMES) else { return false };
    let mut read = false;
    if let Some(name) = MetricName::parse(&text) {
        assert_eq!(name.as_str(), text);
        assert!(ComponentName::parse(name.component().as_str()).is_some());
        read = true;
    }
    if let Some(name) = ComponentName::parse(&text) {
        assert_eq!(name.as_str(), text);
        read = true;
    }
    if let Some(period) = Period::parse(&text) {
        assert_eq!(Period::parse(&period.text()), Some(period), "{text:?}");
        read = true;
    }
    if let Some(zone) = Zone::parse(&text) {
        assert_eq!(Zone::parse(zone.name()).map(|zone| zone.name().to_owned()), Some(zone.name().to_owned()));
        read = true;
    }
    read
}

pub const CONFIGS: [&str; 4] = [
    "",
    "listen = '0.0.0.0:7000'\ndata_dir = '/var/lib/milepost'\n",
    "listen = \"[::1]:0\"\n[limits]\ncalls_max = 10\ncalls_per_connection_max = 5\ndrain_ms = 3600000\n",
    "[engine]\nmemtable_bytes_max = 65536\nunfolded_bytes_max = 65536\nrequest_ids_max = 1\ncache_bytes_max = 1048576\n\
     [store]\nsegment_bytes = 65536\nindex_cache_bytes_max = 1048576\n",
];

/// A config that is read says the same when it is written out and read; its numbers are within their bounds.
pub fn config(input: &[u8]) -> bool {
    let Some((_, text, valid)) = text(input, &CONFIGS) else { return false };
    let read = toml::from_str::<Config>(&text).ok().and_then(|config| config.validate().ok());
    assert!(!valid || read.is_some(), "a valid config is read: {text}");
    let Some(config) = read else { return false };
    let again = toml::from_str::<Config>(&written(&config)).expect("what was written is read");
    assert_eq!(again, config);
    assert!(config.engine.settings().request_ids_max >= 1 && config.limits.drain().as_secs() <= 3_600);
    true
}

fn written(config: &Config) -> String {
    let (limits, engine, store) = (&config.limits, &config.engine, &config.store);
    let data_dir = toml::Value::String(config.data_dir.to_string_lossy().into_owned());
    let mut text = format!("listen = '{}'\ndata_dir = {data_dir}\n", config.listen);
    text += &format!("[limits]\ncalls_max = {}\n", limits.calls_max);
    text +=
        &format!("calls_per_connection_max = {}\ndrain_ms = {}\n", limits.calls_per_connection_max, limits.drain_ms);
    text += &format!("[engine]\nmemtable_bytes_max = {}\n", engine.memtable_bytes_max);
    text += &format!("unfolded_bytes_max = {}\n", engine.unfolded_bytes_max);
    text += &format!("request_ids_max = {}\ncache_bytes_max = {}\n", engine.request_ids_max, engine.cache_bytes_max);
    text += &format!("[store]\nsegment_bytes = {}\n", store.segment_bytes);
    text += &format!("index_cache_bytes_max = {}\n", store.index_cache_bytes_max);
    text
}

pub const CSVS: [&str; 4] = [
    "time,value\n2016-08-29,1\n2016-08-30,2.50\n2016-08-31,\"14,800,000\"\n",
    "channel,time,value,until\nweb,2016-08-29T12:00:00Z,1.25m,2016-08-30\npost,2016-08-29,-3,\nweb,2016-08-29T12:00:00Z,2,\n",
    "time,value,since,restated\r\n2016-08-29,1,2016-08-01,yes\r\n2016-08-29,1,,no\r\nnever,1,,\r\n2016-08-30,one,,maybe\r\n",
    "value,time\n1\n,2016-08-29\n3,2016-02-30\n\"4\"\"\",2016-08-29\n5,2016-03-27T01:30:00\n",
];

/// Every row of a CSV file is sent as it is, or rejected with a reason.
pub fn csv(input: &[u8]) -> bool {
    let samples: Vec<Vec<u8>> = CSVS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (bytes, valid) = bent(input, &samples);
    let read = milepost::cli::check_import(&bytes);
    assert!(!valid || read.is_some());
    read.is_some_and(|(good, _)| good > 0)
}

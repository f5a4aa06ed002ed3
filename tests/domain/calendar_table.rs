//! Windows worked out by hand, from the notes in the tz database and from calendars on paper.

use milepost::domain::calendar::{Calendar, DateError, MonthDay, Unit, Weekday, Zone};
use milepost::domain::time::{Interval, Time};

use Unit::*;
use Weekday::*;

fn time(text: &str) -> Time {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Time::parse(&text).expect("RFC 3339")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("an IANA name")
}

fn calendar(unit: Unit, count: u32, zone_name: &str, week_start: Weekday, (month, day): (u8, u8)) -> Calendar {
    Calendar::new(unit, count, zone(zone_name), week_start, MonthDay { month, day })
}

/// These windows, and no other between the first and the last of the edges.
fn check(calendar: &Calendar, edges: &[&str]) {
    let edges: Vec<Time> = edges.iter().map(|edge| time(edge)).collect();
    let windows: Vec<Interval> = edges.windows(2).map(|pair| Interval::new(pair[0], pair[1])).collect();
    let whole = Interval::new(edges[0], *edges.last().expect("edges"));
    assert_eq!(calendar.windows(whole).collect::<Vec<_>>(), windows, "{calendar:?}");
    assert_eq!(calendar.count_starts(whole), windows.len() as u64, "{calendar:?}");
    for window in windows {
        for t in [window.start, Time(window.end.0 - 1)] {
            assert_eq!(calendar.window(t), window, "{calendar:?} at {t}");
        }
    }
}

fn check_days(zone: &str, edges: &[&str]) {
    check(&calendar(Day, 1, zone, Monday, (1, 1)), edges);
}

fn check_count(unit: Unit, count: u32, zone: &str, from: &str, to: &str, expected: u64) {
    let span = Interval::new(time(from), time(to));
    let calendar = calendar(unit, count, zone, Monday, (1, 1));
    assert_eq!(calendar.count_starts(span), expected, "{calendar:?} {span:?}");
    assert_eq!(calendar.windows(span).count() as u64, expected, "{calendar:?} {span:?}");
}

#[test]
fn daylight_saving() {
    // Clocks forward on 2016-03-27, back on 2016-10-30.
    check_days("Europe/London", &["2016-03-26", "2016-03-27", "2016-03-27T23:00:00Z", "2016-03-28T23:00:00Z"]);
    check_days("Europe/London", &["2016-10-28T23:00:00Z", "2016-10-29T23:00:00Z", "2016-10-31", "2016-11-01"]);
    check_count(Hour, 1, "Europe/London", "2016-03-27", "2016-03-27T23:00:00Z", 23);
    check_count(Hour, 1, "Europe/London", "2016-10-29T23:00:00Z", "2016-10-31", 25);
    check_count(Minute, 15, "Europe/London", "2016-10-29T23:00:00Z", "2016-10-31", 100);
    check_count(Hour, 1, "Europe/London", "2016-01-01", "2017-01-01", 8_784);
    // Six hours of elapsed time; the last window ends with the date.
    check(
        &calendar(Hour, 6, "Europe/London", Monday, (1, 1)),
        &["2016-03-27", "2016-03-27T06:00:00Z", "2016-03-27T12:00:00Z", "2016-03-27T18:00:00Z", "2016-03-27T23:00:00Z"],
    );
    check(
        &calendar(Hour, 12, "Europe/London", Monday, (1, 1)),
        &["2016-10-29T23:00:00Z", "2016-10-30T11:00:00Z", "2016-10-30T23:00:00Z", "2016-10-31", "2016-10-31T12:00:00Z"],
    );
    check(
        &calendar(Month, 1, "Europe/London", Monday, (1, 1)),
        &["2016-03-01", "2016-03-31T23:00:00Z", "2016-04-30T23:00:00Z"],
    );
    check_days("America/New_York", &["2016-03-13T05:00:00Z", "2016-03-14T04:00:00Z", "2016-03-15T04:00:00Z"]);
}

#[test]
fn elapsed_time_within_a_date() {
    check(
        &calendar(Minute, 90, "UTC", Monday, (1, 1)),
        &["2016-01-01T21:00:00Z", "2016-01-01T22:30:00Z", "2016-01-02", "2016-01-02T01:30:00Z"],
    );
    // Seven does not divide the 1,440 minutes of a date: the last window has five.
    check(
        &calendar(Minute, 7, "UTC", Monday, (1, 1)),
        &["2016-01-01T23:48:00Z", "2016-01-01T23:55:00Z", "2016-01-02", "2016-01-02T00:07:00Z"],
    );
    check(&calendar(Hour, 48, "UTC", Monday, (1, 1)), &["2016-01-01", "2016-01-02", "2016-01-03"]);
}

#[test]
fn midnights_that_are_not_there_or_twice() {
    // Brazil went forward at midnight, and back at midnight to 23:00 of the day before.
    check_days("America/Sao_Paulo", &["2017-10-14T03:00:00Z", "2017-10-15T03:00:00Z", "2017-10-16T02:00:00Z"]);
    check_days("America/Sao_Paulo", &["2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"]);
    // So does Egypt.
    check_days("Africa/Cairo", &["2023-04-26T22:00:00Z", "2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z"]);
    check_days("Africa/Cairo", &["2023-10-25T21:00:00Z", "2023-10-26T22:00:00Z", "2023-10-27T22:00:00Z"]);
    check_count(Hour, 1, "Africa/Cairo", "2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z", 23);
    // Cuba and the Azores go back from 01:00 to midnight: the first one counts.
    check_days("America/Havana", &["2016-11-05T04:00:00Z", "2016-11-06T04:00:00Z", "2016-11-07T05:00:00Z"]);
    check_days("Atlantic/Azores", &["2016-10-29", "2016-10-30", "2016-10-31T01:00:00Z"]);
    // Newfoundland went back at 00:01, into the evening before: what follows is of the date that had begun.
    check_days("America/St_Johns", &["2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"]);
    let newfoundland = calendar(Day, 1, "America/St_Johns", Monday, (1, 1));
    let sunday = Interval::new(time("2010-11-07T02:30:00Z"), time("2010-11-08T03:30:00Z"));
    assert_eq!(newfoundland.window(time("2010-11-07T03:00:00Z")), sunday, "23:30 of Saturday, the second time");
}

#[test]
fn half_hours_and_less() {
    check_days("Asia/Kolkata", &["2015-12-31T18:30:00Z", "2016-01-01T18:30:00Z"]);
    // Nepal went from +05:30 to +05:45 at the midnight that began 1986.
    check_days("Asia/Kathmandu", &["1985-12-30T18:30:00Z", "1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z"]);
    check_count(Hour, 1, "Asia/Kathmandu", "1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z", 24);
    // Lord Howe saves half an hour.
    check_days("Australia/Lord_Howe", &["2016-04-02T13:00:00Z", "2016-04-03T13:30:00Z", "2016-04-04T13:30:00Z"]);
    check_days("Australia/Lord_Howe", &["2016-10-01T13:30:00Z", "2016-10-02T13:00:00Z", "2016-10-03T13:00:00Z"]);
    check_count(Hour, 1, "Australia/Lord_Howe", "2016-04-02T13:00:00Z", "2016-04-03T13:30:00Z", 25);
    // Local mean times have seconds.
    check_days("Africa/Monrovia", &["1971-06-01T00:44:30Z", "1971-06-02T00:44:30Z"]);
    check_days("Europe/Paris", &["1904-12-31T23:50:39Z", "1905-01-01T23:50:39Z"]);
}

#[test]
fn dates_that_were_skipped() {
    // Samoa went from the end of Thursday 2011-12-29 to Saturday the 31st.
    check_days("Pacific/Apia", &["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]);
    check_count(Day, 1, "Pacific/Apia", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z", 30);
    check_count(Hour, 1, "Pacific/Apia", "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", 48);
    let weeks = |start| calendar(Week, 1, "Pacific/Apia", start, (1, 1));
    check(&weeks(Monday), &["2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z", "2012-01-08T10:00:00Z"]);
    // A week that would begin on the 30th begins with what there is of it.
    check(&weeks(Friday), &["2011-12-23T10:00:00Z", "2011-12-30T10:00:00Z", "2012-01-05T10:00:00Z"]);
    let months = calendar(Month, 1, "Pacific/Apia", Monday, (1, 1));
    check(&months, &["2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z", "2012-01-31T10:00:00Z"]);
    let years = calendar(Year, 1, "Pacific/Apia", Monday, (12, 28));
    check(&years, &["2010-12-28T10:00:00Z", "2011-12-28T10:00:00Z", "2012-12-27T10:00:00Z"]);
    assert_eq!(zone("Pacific/Apia").first_instant("2011-12-30"), Err(DateError::Skipped));
    assert_eq!(zone("Pacific/Apia").first_instant("2011-12-31"), Ok(time("2011-12-30T10:00:00Z")));
    // Kwajalein skipped 1993-08-21, and in 1969 it had most of 09-30 twice: 47 hours.
    check_days("Pacific/Kwajalein", &["1993-08-20T12:00:00Z", "1993-08-21T12:00:00Z", "1993-08-22T12:00:00Z"]);
    assert_eq!(zone("Pacific/Kwajalein").first_instant("1993-08-21"), Err(DateError::Skipped));
    check_days("Pacific/Kwajalein", &["1969-09-28T13:00:00Z", "1969-09-29T13:00:00Z", "1969-10-01T12:00:00Z"]);
    assert_eq!(zone("Pacific/Kiritimati").first_instant("1994-12-31"), Err(DateError::Skipped));
}

#[test]
fn weeks_over_new_year() {
    let weeks = |start| calendar(Week, 1, "UTC", start, (1, 1));
    check(&weeks(Monday), &["2015-12-28", "2016-01-04", "2016-01-11"]);
    check(&weeks(Monday), &["2020-12-28", "2021-01-04"]);
    check(&weeks(Tuesday), &["2015-12-29", "2016-01-05"]);
    check(&weeks(Wednesday), &["2015-12-30", "2016-01-06"]);
    check(&weeks(Thursday), &["2015-12-31", "2016-01-07"]);
    check(&weeks(Friday), &["2015-12-25", "2016-01-01", "2016-01-08"]);
    check(&weeks(Saturday), &["2015-12-26", "2016-01-02"]);
    check(&weeks(Sunday), &["2015-12-27", "2016-01-03"]);
    check(&calendar(Week, 1, "Europe/London", Monday, (1, 1)), &["2016-08-28T23:00:00Z", "2016-09-04T23:00:00Z"]);
}

#[test]
fn counting_from_1970() {
    // 1970-01-01 was a Thursday: the week that holds it began on Monday 1969-12-29, or on Friday 1969-12-26.
    let weeks = |count, start| calendar(Week, count, "UTC", start, (1, 1));
    check(&weeks(2, Monday), &["1969-12-15", "1969-12-29", "1970-01-12", "1970-01-26"]);
    check(&weeks(3, Friday), &["1969-12-05", "1969-12-26", "1970-01-16"]);
    check(&weeks(2, Thursday), &["1969-12-18", "1970-01-01", "1970-01-15"]);
    let of = |unit, count| calendar(unit, count, "UTC", Monday, (1, 1));
    check(&of(Day, 3), &["1969-12-29", "1970-01-01", "1970-01-04", "1970-01-07"]);
    // 46 years of 365 days, 11 leap days before, 31 and 28 days: 2016-02-29 is 16,860 days after.
    check(&of(Day, 10), &["2016-02-19", "2016-02-29", "2016-03-10"]);
    check(&of(Month, 5), &["1969-08-01", "1970-01-01", "1970-06-01", "1970-11-01", "1971-04-01"]);
    check(&of(Quarter, 2), &["1969-07-01", "1970-01-01", "1970-07-01"]);
    check(&of(Year, 10), &["1960-01-01", "1970-01-01", "1980-01-01"]);
}

#[test]
fn leap_days() {
    let of = |unit| calendar(unit, 1, "UTC", Monday, (1, 1));
    check(&of(Month), &["2016-02-01", "2016-03-01"]);
    for (year, days) in [(1900, 28), (1904, 29), (2000, 29), (2015, 28), (2016, 29), (2100, 28), (2200, 28)] {
        check_count(Day, 1, "UTC", &format!("{year}-02-01"), &format!("{year}-03-01"), days);
    }
    check_days("UTC", &["2016-02-28", "2016-02-29", "2016-03-01"]);
    check(&calendar(Year, 1, "UTC", Monday, (2, 28)), &["2015-02-28", "2016-02-28", "2017-02-28"]);
    check_count(Day, 1, "UTC", "1900-01-01", "2200-12-31", 109_937);
}

#[test]
fn years_from_the_6th_of_april() {
    let of = |unit, count| calendar(unit, count, "Europe/London", Monday, (4, 6));
    check(&of(Year, 1), &["2015-04-05T23:00:00Z", "2016-04-05T23:00:00Z", "2017-04-05T23:00:00Z"]);
    check(
        &of(Quarter, 1),
        &["2016-01-06", "2016-04-05T23:00:00Z", "2016-07-05T23:00:00Z", "2016-10-05T23:00:00Z", "2017-01-06"],
    );
    // Months start on the 1st all the same.
    check(&of(Month, 1), &["2016-02-01", "2016-03-01", "2016-03-31T23:00:00Z"]);
    // Without a break from 1970-04-06.
    check(&of(Year, 2), &["2014-04-05T23:00:00Z", "2016-04-05T23:00:00Z", "2018-04-05T23:00:00Z"]);
    check(&calendar(Quarter, 5, "UTC", Monday, (4, 6)), &["1969-01-06", "1970-04-06", "1971-07-06", "1972-10-06"]);
    check(&calendar(Year, 3, "UTC", Monday, (4, 6)), &["1967-04-06", "1970-04-06", "1973-04-06"]);
}

#[test]
fn first_instants() {
    for (name, date, expected) in [
        ("UTC", "2016-08-29", "2016-08-29T00:00:00Z"),
        ("Europe/London", "2016-08-29", "2016-08-28T23:00:00Z"),
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00:00Z"),
        ("America/Havana", "2016-11-06", "2016-11-06T04:00:00Z"),
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00:00Z"),
        ("UTC", "1900-01-01", "1900-01-01T00:00:00Z"),
        ("UTC", "2200-12-31", "2200-12-31T00:00:00Z"),
    ] {
        assert_eq!(zone(name).first_instant(date), Ok(time(expected)), "{name} {date}");
    }
    for (name, date, expected) in [
        ("UTC", "1899-12-31", DateError::OutOfRange),
        ("UTC", "2201-01-01", DateError::OutOfRange),
        ("Asia/Tokyo", "1900-01-01", DateError::OutOfRange),
        ("UTC", "0000-01-01", DateError::OutOfRange),
        ("UTC", "9999-12-31", DateError::OutOfRange),
        ("UTC", "2015-02-29", DateError::Malformed),
        ("UTC", "2016-08-29T00:00:00Z", DateError::Malformed),
        ("UTC", "29/08/2016", DateError::Malformed),
        ("UTC", "", DateError::Malformed),
    ] {
        assert_eq!(zone(name).first_instant(date), Err(expected), "{name} {date}");
    }
}

#[test]
fn zones_by_name() {
    for name in ["UTC", "Etc/UTC", "GMT", "Europe/London", "GB", "Asia/Calcutta", "America/Argentina/Ushuaia"] {
        assert_eq!(zone(name).name(), name);
        assert_eq!(zone(name), zone(name));
    }
    assert_eq!(Zone::utc(), zone("UTC"));
    for name in [
        "",
        "+01:00",
        "-05",
        "Z",
        "utc",
        "europe/london",
        "Europe/london",
        "Europe/Londres",
        "BST",
        "GMT0BST",
        "EST5EDT,M3.2.0,M11.1.0",
        "Etc/Unknown",
        "Local",
        "local",
        "posix/UTC",
        "../UTC",
        "Europe/London ",
        "Europe",
        "Europe/",
        "UTC\0",
    ] {
        assert_eq!(Zone::parse(name), None, "{name:?}");
    }
}

//! The command lines that the contract promises, word for word.

use crate::served::Served;

#[test]
fn the_promised_command_lines_work() {
    let served = Served::new();
    served.file("FILE.csv", "as_of_date,payments_total\n2016-09-05,12\n2016-09-12,\"1,500,000\"\n2017-01-02,2.6m\n");
    for line in [
        "metric create govuk-pay/payments --kind delta --period P1W --unit {payment}",
        "metric create govuk-notify/messages --kind delta --period P1D --labels channel",
        "metric create govuk-pay/page-total --kind cumulative",
        "push govuk-pay/payments 2016-08-29=1",
        "push govuk-notify/messages 2016-05-30=2000 --label channel=email",
        "push govuk-pay/page-total 2026-08-17=142.9m --start 2016-08-29",
        "push govuk-pay/page-total 2026-08-24=142.8m --start 2016-08-29 --restated",
        "import FILE.csv --metric govuk-pay/payments --time-column as_of_date --value-column payments_total",
    ] {
        served.ok(&line.split(' ').collect::<Vec<_>>());
    }
    for (line, answer) in [
        ("total govuk-pay/payments", "total,marks\n4100013,\n"),
        ("total govuk-pay/payments --at 2020-10-05", "total,marks\n4100013,\n"),
        ("total govuk-pay/page-total", "total,marks\n142800000,\n"),
        (
            "range govuk-pay/payments --by month --zone Europe/London --from 2016-08-01 --to 2016-10-01",
            "start_time,end_time,flow,point_count,marks\n\
             2016-08-01T00:00:00+01:00,2016-09-01T00:00:00+01:00,1,1,STRADDLED\n\
             2016-09-01T00:00:00+01:00,2016-10-01T00:00:00+01:00,1500012,2,STRADDLED INCOMPLETE\n",
        ),
        (
            "cumulative govuk-pay/payments --by month --from 2016-12-01",
            "start_time,end_time,flow,total,point_count,marks\n\
             2016-12-01T00:00:00Z,2017-01-01T00:00:00Z,,1500013,0,INCOMPLETE\n\
             2017-01-01T00:00:00Z,2017-02-01T00:00:00Z,2600000,4100013,1,INCOMPLETE\n",
        ),
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--output", "csv"]);
        assert_eq!(served.ok(&words), answer, "{line}");
    }
    let reached = |ladder: &[&str]| -> Vec<String> {
        let words = [&["milestones", "govuk-pay/payments", "--output", "csv"], ladder].concat();
        served.ok(&words).lines().skip(1).filter_map(|line| line.split(',').nth(1)).map(str::to_owned).collect()
    };
    assert_eq!(reached(&["--thresholds", "1m,2m,4m"]), ["1000000", "2000000", "4000000"]);
    assert_eq!(reached(&["--every", "1m"]), ["1000000", "2000000", "3000000", "4000000"]);
    assert_eq!(reached(&["--ladder", "1-2-5"]).len(), 20);
    let years =
        served.ok(&["cumulative", "govuk-pay/payments", "--by", "month", "--restart", "year", "--output", "json"]);
    assert!(years.contains("\"running\": \"1500013\"") && years.contains("\"running\": \"2600000\""), "{years}");
}

//! A real file: GOV.UK Pay's published running totals, imported twice, with milestones known from elsewhere.

use crate::served::Served;
use std::path::PathBuf;

/// The file, where it is at hand.
fn file() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/pay_cumulative.csv");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn import(served: &Served, file: &str, metric: &str, column: &str) -> String {
    served.ok(&["import", file, "--metric", metric, "--time-column", "as_of_date", "--value-column", column])
}

#[test]
fn the_published_totals_give_the_known_milestones() {
    let Some(path) = file() else { return };
    let file = path.to_str().expect("a path");
    let served = Served::with(&["govuk-pay/payments", "--kind", "cumulative", "--unit", "{payment}"]);
    assert_eq!(
        import(&served, file, "govuk-pay/payments", "payments_total"),
        "271 rows: 266 new, 2 corrected. Revision 4.\n3 rows said again what was said before in the file.\n"
    );
    let milestones =
        ["milestones", "govuk-pay/payments", "--thresholds", "15m,20m,25m,50m,75m,100m,125m", "--output", "csv"];
    let first = served.ok(&milestones);
    let reached: Vec<String> = first
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{} after {} by {}", cells[1], &cells[2][..10], &cells[3][..10])
        })
        .collect();
    assert_eq!(
        reached,
        [
            "15000000 after 2021-04-13 by 2021-04-26",
            "20000000 after 2021-08-31 by 2021-09-06",
            "25000000 after 2022-01-10 by 2022-01-17",
            "50000000 after 2023-02-13 by 2023-03-06",
            "75000000 after 2024-02-19 by 2024-02-26",
            "100000000 after 2025-02-10 by 2025-02-17",
            "125000000 after 2026-01-12 by 2026-01-19",
        ]
    );

    // Both values of a date that was published twice stay visible, and the file a second time changes nothing.
    let changes = ["changes", "govuk-pay/payments", "--from-revision", "2", "--output", "csv"];
    let corrections = served.ok(&changes);
    assert!(corrections.contains(",2025-02-17T00:00:00Z,99900000,100000000,"), "{corrections}");
    assert!(corrections.contains(",2025-02-10T00:00:00Z,99400000,99500000,"), "{corrections}");
    assert_eq!(corrections.lines().count(), 3);
    let again = import(&served, file, "govuk-pay/payments", "payments_total");
    assert!(again.contains("Revision 4.") && !again.contains("new") && !again.contains("corrected,"), "{again}");
    assert_eq!(served.ok(&changes), corrections);
    assert_eq!(served.ok(&milestones), first);

    // As of the batch before the last correction the hundred-millionth came a week later.
    let as_of = served.ok(&[&milestones[..], &["--as-of", "3"]].concat());
    assert!(!as_of.contains(",100000000,2025-02-10"), "{as_of}");
    let total = served.ok(&["total", "govuk-pay/payments", "--as-of", "4", "--at", "2025-02-18", "-o", "csv"]);
    assert_eq!(total, "total,marks\n100000000,\n");
    assert_eq!(served.ok(&["total", "govuk-pay/payments", "-o", "csv"]), "total,marks\n142900000,\n");
    let earlier = served.ok(&["milestones", "govuk-pay/payments", "--thresholds", "1m"]);
    assert!(earlier.contains("1,000,000  by 2021-04-13 or earlier"), "{earlier}");
}

#[test]
fn the_same_file_as_pounds_and_pence() {
    let Some(path) = file() else { return };
    let file = path.to_str().expect("a path");
    let served = Served::with(&["govuk-pay/amount", "--kind", "cumulative", "--unit", "GBP", "--scale", "2"]);
    assert_eq!(
        import(&served, file, "govuk-pay/amount", "amount_total_gbp"),
        "271 rows: 266 new. Revision 2.\n5 rows said again what was said before in the file.\n"
    );
    let table = served.ok(&["milestones", "govuk-pay/amount", "--every", "2.5bn"]);
    assert!(table.contains("2,500,000,000.00  after 20"), "{table}");
    assert_eq!(served.ok(&["total", "govuk-pay/amount", "-o", "csv"]), "total,marks\n9600000000.00,\n");
    let again = import(&served, file, "govuk-pay/amount", "amount_total_gbp");
    assert!(again.contains("Revision 2."), "{again}");
}

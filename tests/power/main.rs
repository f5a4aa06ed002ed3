//! Power cuts, killed processes and failing disks under the whole engine, on a simulated disk: nothing acknowledged is
//! lost, counted twice or quietly wrong.

mod batches;
mod compare;
mod cuts;
mod faults;
#[allow(dead_code, reason = "tests/store uses the rest of it")]
#[path = "../store/fixture.rs"]
mod fixture;
mod flips;
mod machine;
mod oracle;
mod planted;
mod sim_disk;
mod store_alone;
mod torn;

/// How much is done: `.ci/run` says `MILEPOST_EACH_RUN=1`, plain `cargo test` does a tenth or more.
fn each_run() -> bool {
    std::env::var("MILEPOST_EACH_RUN").is_ok_and(|said| said == "1")
}

/// A number that a campaign says; None where it says none.
fn said(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

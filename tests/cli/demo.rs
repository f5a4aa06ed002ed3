//! `milepost serve --demo`: into a fresh store, again on the same one, and never into another.

use crate::served::{milepost, ran, start};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

/// What the server says until it has told where to go next.
fn said(out: &mut BufReader<ChildStdout>) -> String {
    let mut text = String::new();
    while !text.contains("Where to go next") {
        let mut line = String::new();
        if out.read_line(&mut line).expect("stdout") == 0 {
            panic!("the server ended: {text}");
        }
        text.push_str(&line);
    }
    text
}

fn stop(mut server: Child, mut out: BufReader<ChildStdout>) -> String {
    let terminated = std::process::Command::new("kill").arg(server.id().to_string()).status().expect("kill runs");
    assert!(terminated.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("stdout");
    assert!(server.wait().expect("it ends").success());
    rest
}

fn total(address: &str, args: &[&str]) -> i64 {
    let mut command = milepost();
    command.arg("total").args(args).args(["--output", "csv", "--server", address]);
    let ran = ran(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().nth(1).and_then(|line| line.split(',').next()?.parse().ok()).expect("a total")
}

#[test]
fn the_demo_tells_the_story_and_is_served_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let (server, address, mut out) = start(&data, &["--demo"]);
    let first = said(&mut out);
    assert!(first.contains("The demo is in: 8 metrics"), "{first}");
    assert!(first.contains(" 2,000,000  after 2018-08-") && first.contains(" 4,000,000  after 2019-08-"), "{first}");

    let pay = total(&address, &["govuk-pay/payments", "--at", "2020-10-05"]);
    assert!((9_500_000..11_500_000).contains(&pay), "{pay}");
    let messages = |at: &str| total(&address, &["govuk-notify/messages", "--at", at]);
    assert!(messages("2020-10-05") - messages("2020-04-05") > 1_000_000_000);
    let published = total(&address, &["govuk-pay/page-total", "--at", "2023-04-10"]);
    assert!(published > total(&address, &["govuk-pay/page-total", "--at", "2023-04-03"]), "it carries on: {published}");

    // Every command that it names works.
    let rest = stop_after_commands(&address, server, out);
    assert!(rest >= 8, "{rest} commands were named");

    let (server, address, mut out) = start(&data, &["--demo"]);
    let second = said(&mut out);
    assert!(second.contains("The demo is here already"), "{second}");
    assert_eq!(total(&address, &["govuk-pay/payments", "--at", "2020-10-05"]), pay);
    stop(server, out);
}

/// Runs what the server named, and stops it. Answers how many commands that was.
fn stop_after_commands(address: &str, server: Child, mut out: BufReader<ChildStdout>) -> usize {
    let mut commands = 0;
    let mut line = String::new();
    while out.read_line(&mut line).expect("stdout") > 0 && !line.trim().is_empty() {
        if let Some(command) = line.trim().strip_prefix("milepost ") {
            let mut run = milepost();
            run.args(command.split(' '));
            let ran = ran(run);
            assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
            assert!(command.ends_with(address), "{command} says which server");
            commands += 1;
        }
        line.clear();
    }
    stop(server, out);
    commands
}

#[test]
fn another_store_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let (server, address, out) = start(&data, &[]);
    let mut create = milepost();
    create.args(["metric", "create", "a/b", "--kind", "delta", "--server", &address]);
    assert_eq!(ran(create).code, Some(0));
    stop(server, out);

    let mut demo = milepost();
    demo.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let mut child =
        demo.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().expect("it is killed");
                panic!("it goes on serving");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut err = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut err).expect("UTF-8");
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("fresh store only, and this one has a/b"), "{err}");
}

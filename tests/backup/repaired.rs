//! Damage that was given up is no damage any more: the store can be served, looked at and backed up.

use crate::command::{backup, repair, restore, verify};
use crate::frames::{BLOCK, Frame, RUN, frames};
use crate::process::Place;
use crate::questions;
use crate::stock::{Stock, flip};
use std::fs;

/// The largest frame of a kind that is still referred to: of the last fold that has one.
fn victim(place: &Place, kind: u8) -> Frame {
    let of_pay = |frame: &Frame| frame.line.kind == kind && frame.line.component.as_str() == "pay";
    frames(&place.data()).into_iter().filter(of_pay).max_by_key(|frame| frame.spot.bytes).expect("a frame")
}

/// A backup was refused for ever because of a damaged block that nothing referred to any more.
#[tokio::test]
async fn what_was_given_up_is_looked_at_and_backed_up() {
    let stock = Stock::get().await;
    for kind in [BLOCK, RUN] {
        let place = stock.copy();
        let victim = victim(&place, kind);
        flip(&victim.file, victim.middle());
        let target = place.root().join("target");
        backup(&place.data(), &target).await.refused();

        let listed = repair(&place.data(), &[]).await.done();
        assert!(listed.contains("pay/") && listed.contains(victim.file.to_str().expect("text")), "{kind}: {listed}");
        assert!(!place.data().join("LOST").exists(), "only listed");
        let given_up = repair(&place.data(), &["--give-up"]).await.done();
        let written = fs::read_to_string(place.data().join("LOST")).expect("written down");
        let line = listed.lines().next().expect("a line");
        assert!(written.contains(line) && given_up.contains(line), "{written}");

        assert_eq!(repair(&place.data(), &[]).await.done(), "nothing is lost\n", "{kind}");
        let looked = verify(&place.data()).await;
        // What changed is still told where what it was is gone: that is found for ever.
        let found = looked.out.lines().filter(|line| !line.contains("what it was is not kept")).collect::<Vec<_>>();
        let [summary] = found[..] else { panic!("{kind}: {}", looked.out) };
        assert!(kind == RUN || summary.starts_with("Everything is as it should be"), "{summary}");
        assert!(looked.out.lines().count() == 1 || looked.code == Some(3), "{}", looked.out);
        backup(&place.data(), &target).await.done();
        let restored = Place::new(crate::metrics::SMALL);
        restore(&target, &restored.data()).await.done();
        for place in [&place, &restored] {
            let served = place.start();
            let notify = questions::kept(&served.channel(), "notify").await.expect("what is kept");
            let before = &stock.kept.iter().find(|(component, _)| *component == "notify").expect("kept").1;
            assert!(notify == *before, "{kind}: others are as they were");
            for metric in ["pay/slots", "pay/levels", "pay/minutes"] {
                questions::read(&served.channel(), metric.to_owned(), None).await.expect("it is answered");
            }
            served.stop().await;
        }
    }
}

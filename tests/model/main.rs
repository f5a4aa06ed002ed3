//! The model test: a naive oracle, written apart from the engine, and the real service beside it.

mod ask;
mod asked;
mod campaign;
mod compare;
mod examples;
mod figures;
mod generate;
mod kept;
mod laws;
mod oracle;
mod planted;
mod race;
mod regressions;
mod retried;
mod run;
mod serve;
mod server;
#[path = "../power/sim_disk.rs"]
#[allow(dead_code)] // what only other tests plant
mod sim_disk;

use oracle::Oracle;
use proptest::prelude::*;
use server::Server;

/// A law, held against the oracle many times and against the server some.
macro_rules! law {
    ($law:ident) => {
        mod $law {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
                #[test]
                fn of_the_oracle(seed: u64) {
                    laws::$law::<Oracle>(seed);
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
                #[test]
                fn of_the_server(seed: u64) {
                    laws::$law::<Server>(seed);
                }
            }
        }
    };
}

law!(three_ways_agree);
law!(totals_stand_whatever_the_window);
law!(groups_sum_to_the_whole);
law!(pages_join_to_the_whole);
law!(what_was_known_stays_known);
law!(a_split_write_ends_the_same);

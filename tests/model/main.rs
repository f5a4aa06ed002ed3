//! The model test: a naive oracle, written apart from the engine, and the real service beside it.

mod ask;
mod asked;
mod compare;
mod examples;
mod generate;
mod laws;
mod oracle;
mod race;
mod regressions;
mod run;
mod serve;
mod server;

use oracle::Oracle;
use proptest::prelude::*;
use server::Server;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// The heart of it: random histories, every answer compared.
    #[test]
    fn the_server_answers_as_the_oracle(world: u64, seeds in prop::collection::vec(any::<u64>(), 1..90)) {
        if let Err(difference) = run::compare(world, &seeds) {
            return Err(TestCaseError::fail(difference));
        }
    }
}

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

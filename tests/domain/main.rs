//! The domain held to laws, to naive models, and to tables worked out by hand.

mod aggregate_laws;
mod calendar_laws;
mod calendar_naive;
mod calendar_table;
mod number_laws;

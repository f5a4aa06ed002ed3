//! The domain held to laws, to naive models, and to tables worked out by hand.

mod calendar_laws;
mod calendar_naive;

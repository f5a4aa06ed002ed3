//! `cargo bench`: what a total, a first crossing and calendar months cost in the engine as a series grows, and how fast
//! counts come in durably. Figures, with the machine they were taken on, are in the README.

mod engine;
mod ingest;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, engine::totals_and_crossings, engine::months, ingest::packed_columns);
criterion_main!(benches);

//! The committed corpus: small, of valid inputs of every target. `MILEPOST_FUZZ_CORPUS=write` makes it anew.

use std::{fs, path::PathBuf};

use milepost::engine::formats::Format;

use crate::{
    TARGETS, engine_formats,
    files::{self, record_samples},
    requests,
    samples::{self, frames},
    texts,
};

/// Inputs of a target.
const INPUTS_MAX: usize = 8;
/// Bytes of all inputs together.
const BYTES_MAX: u64 = 256 << 10;

fn dir(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/__fuzz__").join(target).join("corpus")
}

/// Valid inputs, as they are and not bent, the shortest ones.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let whole = |samples: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let mut samples = samples.to_vec();
        samples.sort_by_key(Vec::len);
        samples.dedup();
        samples.iter().take(INPUTS_MAX).map(|bytes| [&[0][..], bytes].concat()).collect()
    };
    let behind = |first: u8, inputs: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        inputs.into_iter().map(|input| [&[first][..], &input].concat()).collect()
    };
    let texts = |texts: &[&str]| whole(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
    match target {
        "request" => requests::inputs(),
        "log_record" => behind(0, whole(&record_samples())),
        // Of long ones what is done to them: nothing, a byte set, a bit flipped, cut short.
        "log_segment" | "fold_file" => {
            [&[0, 8, 0, 0][..], &[0, 1, 0, 0, 2, 77, 0, 9, 0], &[1, 1, 0, 0, 6, 99, 0, 0, 0]]
                .map(<[u8]>::to_vec)
                .to_vec()
        }
        "index_marker" => behind(0, whole(&[samples::marker().to_vec()])),
        "index_value" => whole(&files::index_values()),
        "format_file" => whole(&[files::format_sample()]),
        "block" => whole(frames(Format::Block)),
        "node" => whole(frames(Format::Node)),
        "log_body" => whole(frames(Format::Effect)),
        "frame" => {
            let one =
                |(i, format): (usize, &Format)| behind(i as u8, whole(frames(*format)).into_iter().take(2).collect());
            engine_formats::OTHERS.iter().enumerate().flat_map(one).collect()
        }
        "config" => behind(0, texts(&texts::CONFIGS)),
        "csv" => texts(&texts::CSVS),
        "thresholds" => behind(2, texts(&texts::THRESHOLDS)),
        "decimal" => behind(2, texts(&texts::DECIMALS)),
        "time" => behind(0, texts(&texts::TIMES)),
        "name" => behind(0, texts(&texts::NAMES)),
        _ => panic!("{target} has no corpus"),
    }
}

#[test]
fn every_target_has_a_corpus_and_all_are_small() {
    let write = std::env::var("MILEPOST_FUZZ_CORPUS").is_ok_and(|say| say == "write");
    let mut bytes = 0;
    for target in TARGETS {
        let dir = dir(target);
        if write {
            fs::create_dir_all(&dir).expect("a folder");
            for (i, input) in inputs(target).iter().enumerate() {
                fs::write(dir.join(format!("{i:02}")), input).expect("a file");
            }
        }
        let files: Vec<_> = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())).collect();
        assert!(!files.is_empty(), "{target} has a corpus");
        bytes +=
            files.iter().map(|file| file.as_ref().expect("a file").metadata().expect("it is there").len()).sum::<u64>();
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

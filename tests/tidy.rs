//! Holds the house to its rules: which floor uses which, how long files are, that each says what it is for, and
//! that every proto field is documented.

use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

fn sources(dir: &str, ending: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join(dir), ending, &mut found);
    assert!(!found.is_empty(), "there are .{ending} files in {dir}");
    let name = |path: &PathBuf| path.strip_prefix(root).expect("below the root").display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("a text"))).collect()
}

#[test]
fn a_file_says_its_one_idea_and_is_not_long() {
    for (name, text) in sources("src", "rs").into_iter().chain(sources("tests", "rs")) {
        assert!(text.starts_with("//! "), "{name} starts with a line that says what it is for");
        let lines = text.lines().count();
        assert!(lines <= 600, "{name} has {lines} lines; 600 are the most");
    }
}

/// Floors from the roof down, each with what it may use of the crate.
const FLOORS: [(&str, &[&str]); 11] = [
    ("src/domain", &["domain"]),
    ("src/disk.rs", &["disk", "domain"]),
    ("src/clock.rs", &["clock", "domain"]),
    ("src/random.rs", &["random", "domain"]),
    ("src/background.rs", &["background"]),
    ("src/planted.rs", &["planted"]),
    ("src/store", &["store", "background", "disk", "clock", "random", "planted", "domain"]),
    ("src/engine", &["engine", "store", "background", "disk", "clock", "random", "planted", "domain"]),
    ("src/query", &["query", "engine", "store", "clock", "planted", "domain"]),
    ("src/service", &["service", "query", "engine", "store", "clock", "domain", "proto"]),
    ("src/cli", &["cli", "clock", "random", "domain", "proto"]),
];

#[test]
fn a_floor_uses_only_the_floors_below_it() {
    for (name, text) in sources("src", "rs") {
        let Some((_, may)) = FLOORS.iter().find(|(floor, _)| name.starts_with(floor)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let Some(at) = code.find("crate::") else { continue };
            let rest = &code[at + "crate::".len()..];
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(used.is_empty() || may.contains(&used.as_str()), "{name}:{}: uses {used}", number + 1);
        }
    }
}

#[test]
fn nothing_is_called_after_nothing() {
    for (name, _) in sources("src", "rs") {
        for word in ["util", "common", "helper", "misc", "manager", "mod.rs"] {
            assert!(!name.contains(word), "{name} is named after what it is for");
        }
    }
}

#[test]
fn every_proto_element_is_documented() {
    for (name, text) in sources("proto", "proto") {
        let mut before = "";
        for (number, line) in text.lines().enumerate() {
            let code = line.trim();
            let element = ["message ", "enum ", "service ", "rpc ", "oneof "].iter().any(|word| code.starts_with(word))
                || (code.ends_with(";")
                    && code.contains(" = ")
                    && !code.starts_with("//")
                    && !code.starts_with("syntax"));
            if element {
                assert!(before.starts_with("//"), "{name}:{}: {code} has a comment", number + 1);
            }
            before = code;
        }
    }
}

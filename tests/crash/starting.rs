//! Starts that cannot be: each says what is wrong in one line, and exits with 1.

use crate::process::{NotServed, Place};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Nobody, on most systems.
const NOBODY: u32 = 65_534;

fn refused(place: &Place, data: &Path, user: Option<u32>) -> String {
    let NotServed { code, stderr } = place.try_start_on(data, user).err().expect("it cannot start");
    assert_eq!(code, Some(1), "{stderr}");
    let told: Vec<&str> = stderr.lines().collect();
    assert_eq!(told.len(), 1, "one line: {stderr}");
    assert!(told[0].starts_with("milepost: "), "{stderr}");
    stderr
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let place = Place::new("");
    let first = place.start();
    let told = refused(&place, &place.data(), None);
    let expected = format!("the data directory {} is in use by process {}", place.data().display(), first.pid());
    assert!(told.contains(&expected), "{told}");
    first.kill();
    // The lock goes with its process, however that ended.
    place.start().stop().await;
}

#[test]
fn a_file_is_not_a_data_directory() {
    let place = Place::new("");
    fs::write(place.data(), "notes").expect("a file");
    let told = refused(&place, &place.data(), None);
    assert!(told.contains(&place.data().display().to_string()) && told.contains("Not a directory"), "{told}");
    let below = place.data().join("below");
    let told = refused(&place, &below, None);
    assert!(told.contains("Not a directory"), "{told}");
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let place = Place::new("");
    fs::create_dir_all(place.data().join("folds")).expect("a directory");
    let fold = place.data().join("folds/00000000000000000001-00000000000000000002.g0.fold");
    fs::write(&fold, "not ours").expect("a file");
    let told = refused(&place, &place.data(), None);
    assert!(told.contains("FORMAT is damaged at byte 0: it is missing, and the directory holds a store"), "{told}");
    assert_eq!(fs::read_to_string(&fold).expect("left alone"), "not ours");
}

#[test]
fn a_directory_of_a_later_format_is_not_opened() {
    let place = Place::new("");
    fs::create_dir_all(place.data()).expect("a directory");
    let text = format!("milepost data directory\nformat 2\nstore {}\n", "0".repeat(32));
    fs::write(place.data().join("FORMAT"), text).expect("a file");
    let told = refused(&place, &place.data(), None);
    assert!(told.contains("FORMAT has format 2; this milepost reads format 1"), "{told}");
}

/// Whether this process may become another user; root may do anything, so the tests below need one who may not.
fn may_be_nobody(place: &Place) -> bool {
    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o755)).expect("ours");
    let binary = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_milepost"), "--version"])
        .output();
    let may = binary.is_ok_and(|done| done.status.success());
    if !may {
        println!("skipped: this test needs to be root, to start the binary as another user");
    }
    may
}

#[tokio::test]
async fn no_permission_is_said() {
    let place = Place::new("");
    if !may_be_nobody(&place) {
        return;
    }
    let told = refused(&place, &place.data(), Some(NOBODY));
    assert!(told.contains("Permission denied") && told.contains("data"), "{told}");
    // A store of someone else, that may be read and not written.
    place.start().stop().await;
    Command::new("chmod").arg("-R").arg("a+rX").arg(place.data()).status().expect("readable");
    let told = refused(&place, &place.data(), Some(NOBODY));
    assert!(told.contains("LOCK") && told.contains("Permission denied"), "{told}");
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o700)).expect("ours");
    let told = refused(&place, &place.data(), Some(NOBODY));
    assert!(told.contains("Permission denied"), "{told}");
}

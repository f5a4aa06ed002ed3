//! An input as bytes to be read: itself, or a valid one, bent.
//!
//! ```text
//! 0     0: the rest as it is; else how many edits of a valid one follow, 7 at most, by its lowest three bits
//! 1  2  which valid one, little-endian
//! 3  5  an edit: what is done, where (2 bytes), two more that say with what; and so on
//! ```

/// The bytes, and whether they are a valid one, not bent.
pub fn bent(input: &[u8], samples: &[Vec<u8>]) -> (Vec<u8>, bool) {
    let Some((&head, rest)) = input.split_first() else { return (Vec::new(), false) };
    let (Some((which, edits)), true) = (rest.split_first_chunk::<2>(), head != 0) else {
        return (rest.to_vec(), false);
    };
    let which = usize::from(u16::from_le_bytes(*which));
    let mut bytes = samples[which % samples.len()].clone();
    let edits: Vec<&[u8]> = edits.chunks_exact(5).take(usize::from(head & 7)).collect();
    for edit in &edits {
        let other = &samples[usize::from(edit[4]) % samples.len()];
        apply(&mut bytes, edit, other);
    }
    (bytes, edits.is_empty())
}

fn apply(bytes: &mut Vec<u8>, edit: &[u8], other: &[u8]) {
    let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % (bytes.len() + 1);
    let (with, count) = (edit[3], usize::from(edit[4]));
    let end = (at + count).min(bytes.len());
    match edit[0] % 10 {
        0 | 1 if at < bytes.len() => bytes[at] = with,
        2 | 3 if at < bytes.len() => bytes[at] ^= 1 << (with % 8),
        4 => bytes.insert(at, with),
        5 => drop(bytes.drain(at..end)),
        6 => bytes.truncate(at),
        // A number as formats like to hold them: all ones, none, or one beside.
        7 if at < bytes.len() => bytes[at..end.min(at + 8)].fill([0xff, 0, 0x80, 0x7f][usize::from(with % 4)]),
        8 => {
            let piece = bytes[at..end].to_vec();
            let to = usize::from(with) % (bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        9 => {
            let from = usize::from(with) % (other.len() + 1);
            bytes.splice(at..end, other[from..(from + count).min(other.len())].to_vec());
        }
        _ => {}
    }
}

#[test]
fn an_input_is_itself_or_a_valid_one_bent() {
    let samples = [b"abc".to_vec(), b"xyz".to_vec()];
    assert_eq!(bent(&[0, 7, 8], &samples), (vec![7, 8], false));
    assert_eq!(bent(&[8, 1, 0], &samples), (b"xyz".to_vec(), true));
    assert_eq!(bent(&[1, 0, 0, 0, 1, 0, b'B', 0], &samples), (b"aBc".to_vec(), false));
    assert_eq!(bent(&[], &samples), (vec![], false));
}

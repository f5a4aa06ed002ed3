//! Who may still read what newer states have let go of: frames of folds that are dead now, nodes of the index that were
//! replaced. Whoever holds an older state holds a token; what is dead goes once no token of that time is left. So a long
//! query is never told of damage that is none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Everybody who reads.
#[derive(Default)]
pub struct Readers {
    tokens: Mutex<Tokens>,
    /// Held while files are to stay just as they are.
    still: RwLock<()>,
}

#[derive(Default)]
struct Tokens {
    now: Epoch,
    /// How many there are of each epoch.
    held: BTreeMap<Epoch, usize>,
}

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Epoch(u64);

/// While it is held, nothing goes that a state may refer to which was taken after it was made.
pub struct Token {
    readers: Arc<Readers>,
    epoch: Epoch,
}

impl Readers {
    /// To be made before the state is taken that it is for. Cost: two short locks in its life.
    pub fn enter(self: &Arc<Self>) -> Token {
        let mut tokens = self.tokens();
        let epoch = tokens.now;
        *tokens.held.entry(epoch).or_default() += 1;
        Token { readers: self.clone(), epoch }
    }

    /// Ends the epoch that is: who enters from now on takes a state at least as new as the one that there is now.
    pub fn end_epoch(&self) -> Epoch {
        let mut tokens = self.tokens();
        let ended = tokens.now;
        tokens.now.0 += 1;
        ended
    }

    /// Whether nobody holds a token of this epoch, or of one before.
    pub fn have_left(&self, epoch: Epoch) -> bool {
        self.tokens().held.first_key_value().is_none_or(|(first, _)| *first > epoch)
    }

    /// While this is held, files and index hold all that they hold now. Waits for what is being taken away.
    pub fn keep_still(&self) -> RwLockReadGuard<'_, ()> {
        self.still.read().expect("taking away does not panic")
    }

    /// While this is held, something may be taken away; None while somebody wants it to stay.
    pub fn try_take_away(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.still.try_write().ok()
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("nothing panics while it holds the tokens")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut tokens = self.readers.tokens();
        if let Some(held) = tokens.held.get_mut(&self.epoch) {
            *held -= 1;
            if *held == 0 {
                tokens.held.remove(&self.epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_over_once_everybody_of_it_and_before_has_left() {
        let readers = Arc::new(Readers::default());
        let first = readers.enter();
        let before = readers.end_epoch();
        let (second, also) = (readers.enter(), readers.enter());
        let between = readers.end_epoch();
        let third = readers.enter();
        assert!(!readers.have_left(before) && !readers.have_left(between));
        drop(second);
        drop(first);
        assert!(readers.have_left(before) && !readers.have_left(between));
        drop(also);
        assert!(readers.have_left(between));
        let now = readers.end_epoch();
        assert!(!readers.have_left(now));
        drop(third);
        assert!(readers.have_left(now));
    }

    #[test]
    fn nothing_is_taken_away_while_somebody_wants_it_to_stay() {
        let readers = Readers::default();
        let still = readers.keep_still();
        assert!(readers.try_take_away().is_none());
        drop(still);
        assert!(readers.try_take_away().is_some());
    }
}

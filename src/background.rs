//! Threads for what may take its time: folding, sweeping, zeros for the log. Others go first.

use std::io;
use std::thread::{Builder, JoinHandle};

/// How much nicer such a thread is than the others. While nobody else wants the processor it has all of it; beside one
/// other thread it gets a third, beside four a tenth (a fifth, were it no nicer). No more than that: whoever writes faster
/// than is folded waits for the fold, which cannot be put before others again.
///
/// (A question that comes while it runs would wait for the end of its time slice, 4 ms of a kernel that ticks 250 times a
/// second. By turns, three times three runs each: the p99 of totals beside a writer 6.9, 9.3 and 8.5 times the idle one
/// without, 3.9, 6.8 and 6.8 at 2, 4.0, 6.9 and 6.2 at 3, 7.2, 4.0 and 7.1 at 5.)
const NICER: i32 = 3;

/// Starts a thread behind all others.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(|| {
        go_behind();
        work()
    })
}

/// On Linux each thread has a priority of its own, and those that it starts begin with that.
#[cfg(target_os = "linux")]
fn go_behind() {
    // Where it may not, it works all the same.
    let _ = rustix::process::nice(NICER);
}

/// Elsewhere priorities are those of processes.
#[cfg(not(target_os = "linux"))]
fn go_behind() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nice_now() -> i32 {
        rustix::process::getpriority_process(None).expect("it can be asked")
    }

    /// The thread and those that it starts, and no other: the process stays as it is.
    #[test]
    fn only_such_a_thread_is_nicer_and_those_it_starts() {
        let before = nice_now();
        let thread = spawn("behind", || (nice_now(), std::thread::spawn(nice_now).join().expect("it ends")));
        let nicer = (before + NICER).min(19);
        assert_eq!(thread.expect("there are threads").join().expect("it ends"), (nicer, nicer));
        assert_eq!((nice_now(), std::thread::spawn(nice_now).join().expect("it ends")), (before, before));
    }
}

//! Threads for what may take its time: folding, sweeping, zeros for the log. Others go first.

use std::io;
use std::thread::{Builder, JoinHandle};

/// How much nicer such a thread is than the others. While nobody else wants the processor it has all of it; beside one
/// other it gets a quarter of it, so that folding goes on on a machine that is busy with something else.
///
/// (A question that comes while it runs would wait for the end of its time slice, 4 ms of a kernel that ticks 250 times a
/// second. By turns, 9 runs each: the p99 of totals beside a writer 10.9, 9.2 and 12.4 times the idle one without, 6.8, 7.7
/// and 8.3 with it; at 10, where it would get a tenth, 6.3, 7.6 and 7.4.)
const NICER: i32 = 5;

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

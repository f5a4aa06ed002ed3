//! `milepost completions`: what a shell needs to complete the command line.

use super::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Completions for a shell, to stdout: `milepost completions bash > /etc/bash_completion.d/milepost`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn text(args: CompletionsArgs) -> String {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "milepost", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

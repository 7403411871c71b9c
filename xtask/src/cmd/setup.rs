use std::ffi::OsStr;

use anstream::println;
use anyhow::Result;

use crate::exit::Exit;
use crate::present::steps;
use crate::tools::{self, Host, TOOLS};

/// Install what `ci` needs and this machine lacks; name what cannot be installed from here.
///
/// Knows Debian 12, Ubuntu 24.04 and macOS (Homebrew). Elsewhere it names what is missing. A tool is there when it
/// answers, wherever it lies, and is not older than what is wanted of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tell what is there and what is missing.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: Args) -> Result<Exit> {
    let sh = tools::shell()?;
    let host = Host::detect();
    let mut missing = 0;
    for tool in TOOLS {
        if let Some(version) = tool.answers(&sh) {
            println!("{:<16} {version}", tool.name);
            continue;
        }
        let command = tool.install_command(&host);
        let installed = match &command {
            Some(command) if !args.check => {
                println!("{:<16} missing: installing it for {}", tool.name, tool.purpose);
                sh.cmd(&command[0]).args(&command[1..]).run().is_ok() && tool.answers(&sh).is_some()
            }
            _ => false,
        };
        if !installed {
            missing += 1;
            let words = command
                .iter()
                .flatten()
                .map(|word| steps::quoted(OsStr::new(word)));
            let how = match words.collect::<Vec<_>>().join(" ") {
                none if none.is_empty() => "see its own documentation".to_owned(),
                command => command,
            };
            println!(
                "{:<16} MISSING, needed for {}; to install: {how}",
                tool.name, tool.purpose
            );
        }
    }
    Ok(if missing == 0 {
        Exit::Pass
    } else {
        Exit::Environment
    })
}

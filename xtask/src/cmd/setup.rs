use anyhow::Result;

use crate::checkout::Checkout;
use crate::console::{self, println};
use crate::exit::Exit;
use crate::tools::{self, Host, TOOLS};

/// Install the tools that `ci` needs and this machine lacks; name those that cannot be installed from here.
///
/// Knows Debian 12, Ubuntu 24.04 and macOS (Homebrew). On other systems it names the missing tools. A tool counts if it answers,
/// from any place on PATH, and is not older than required.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only list which tools are installed and which are missing
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let sh = tools::shell(checkout)?;
    let environment = tools::python_environment(checkout)?;
    let host = Host::detect();
    let mut missing = 0;
    for tool in TOOLS {
        if let Some(version) = tool.answers(&sh) {
            println!("{:<16} {version}", tool.name);
            continue;
        }
        let command = tool.install_command(&host, &environment);
        let installed = match &command {
            Some(command) if !args.check => {
                println!("{:<16} missing: installing it for {}", tool.name, tool.purpose);
                sh.cmd(&command[0]).args(&command[1..]).run().is_ok() && tool.answers(&sh).is_some()
            }
            _ => false,
        };
        if !installed {
            missing += 1;
            let words = command.iter().flatten().map(console::quoted);
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

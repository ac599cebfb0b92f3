use std::process::ExitCode;

use clap::Parser as _;
use omninode::{app, cli};

fn main() -> ExitCode {
    app::choose_tls();
    let cli = cli::Cli::parse();
    app::log_panics();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            app::say(&format!("error: {error:#}"));
            ExitCode::from(cli::EXIT_BROKEN)
        }
    }
}

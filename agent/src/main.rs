//! Parses the command line, wires the agent and runs it. Holds no logic.

use std::{path::Path, process::ExitCode};

use clap::Parser as _;
use stayhand_agent::{
    agent,
    args::{Args, CONFIG_DEFAULT, Command},
    config,
    exit::{Code, Failure, chain},
    joining, logs, uninstall,
};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("stayhand-agent: {failure}");
            failure.code().into()
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let may_be_missing = args.config == Path::new(CONFIG_DEFAULT);
    let wrong = |error: config::ConfigError| Failure::new(Code::Config, error.to_string());
    let loaded = config::load(&args.config, may_be_missing).map_err(wrong)?;
    agent::redactor(&loaded.config)?;
    if args.check_config {
        let floor = agent::floor(&loaded.config)
            .map_err(|error| Failure::new(Code::Config, format!("the floor: {}", chain(&error))))?;
        println!("stayhand-agent: `{}` is right", args.config.display());
        for policy in floor.unwrap_or_default().shown() {
            println!("stayhand-agent: enforced whatever the control plane says: {policy}");
        }
        return Ok(());
    }
    if args.print_config {
        print!("{}", config::print(&loaded));
        return Ok(());
    }
    if args.uninstall {
        let _one = agent::lock(&loaded.config)?;
        println!("stayhand-agent: {}", uninstall::uninstall(&loaded.config)?);
        return Ok(());
    }
    if let Some(Command::Join {
        address,
        token_file,
        replace,
    }) = &args.command
    {
        let said = joining::join(&loaded.config, address, token_file.as_deref(), *replace)?;
        println!("stayhand-agent: {said}");
        return Ok(());
    }
    logs::start(&loaded.config.log);
    println!("stayhand-agent: {}", agent::run(&loaded.config)?);
    Ok(())
}

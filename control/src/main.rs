//! Parses the command line, starts the control plane and stops it on request. Holds no logic.

use std::{io::Write as _, path::Path, process::ExitCode};

use clap::Parser as _;
use sd_notify::NotifyState;
use stayhand_control::{
    args::{self, Args, CONFIG_DEFAULT},
    authz,
    config::{self, Config, Format, Level, Log},
    names::{Names, Nss},
    oidc::Oidc,
    server::{self, StartError},
    store::StoreError,
};
use tokio::signal::unix::{SignalKind, signal};

/// Something that has no code of its own.
const EXIT_FAILURE: u8 = 1;
/// `EX_TEMPFAIL`: another one runs.
const EXIT_ANOTHER: u8 = 75;
/// `EX_CONFIG`.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(what) = args.print_authorization {
        return print_authorization(what);
    }
    let config = match config::load(&args.config, args.config == Path::new(CONFIG_DEFAULT)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("stayhand-control: {error}");
            return EXIT_CONFIG.into();
        }
    };
    if let Err(error) = authz::Authorization::load(config.authorization.policies.as_deref()) {
        eprintln!("stayhand-control: {error}");
        return EXIT_CONFIG.into();
    }
    if let Err(error) = Oidc::new(&config.oidc) {
        eprintln!("stayhand-control: {error}");
        return EXIT_CONFIG.into();
    }
    if args.check_config {
        eprintln!("stayhand-control: `{}` is good", args.config.display());
        return ExitCode::SUCCESS;
    }
    log(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(&config)),
        Err(error) => Err(StartError::Machine(error.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stayhand-control: {error}");
            match error {
                StartError::Store(StoreError::AlreadyRunning { .. }) => EXIT_ANOTHER.into(),
                StartError::Authorization(_) => EXIT_CONFIG.into(),
                _ => EXIT_FAILURE.into(),
            }
        }
    }
}

fn print_authorization(what: args::Authorization) -> ExitCode {
    let text = match what {
        args::Authorization::Default => authz::DEFAULT,
        args::Authorization::Always => authz::ALWAYS,
        args::Authorization::Schema => authz::SCHEMA,
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stayhand-control: cannot write: {error}");
            EXIT_FAILURE.into()
        }
    }
}

async fn run(config: &Config) -> Result<(), StartError> {
    let failed = |error: std::io::Error| StartError::Machine(error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let running = server::start(config, Names::new(Nss)).await?;
    tell(NotifyState::Ready);
    tracing::info!(
        operators = %config.listen.operators.display(),
        hosts = %config.listen.hosts.display(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tell(NotifyState::Stopping);
    tracing::info!("stopping; what the hosts enforce stays enforced");
    running.stop().await;
    Ok(())
}

/// Without systemd there is nobody to tell, and that is no failure.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}

fn log(log: &Log) {
    let level = match log.level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    match log.format {
        Format::Text => subscriber.with_ansi(false).init(),
        Format::Json => subscriber.json().init(),
    }
}

//! One call each: write, create, connect, send; and a program that says how it was started.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;

use anyhow::{Result, bail};

/// Exit code where the system gave no error number.
const OTHER: u8 = 255;

/// Acts, if the name is one of this file's.
pub fn act(name: &str, args: &[&str]) -> Result<Option<ExitCode>> {
    let result = match (name, args) {
        ("write", [path, text]) => write(path, text),
        ("create", [path, text]) => create(path, text),
        ("connect", [address]) => connect(address),
        ("say", words) => {
            println!("{}", words.join(" "));
            Ok(())
        }
        ("write" | "create" | "connect", _) => bail!("wrong arguments for `{name}`: {args:?}"),
        _ => return Ok(None),
    };
    Ok(Some(match result {
        Ok(()) => {
            println!("{name}: done");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{name}: {error}");
            ExitCode::from(
                error
                    .raw_os_error()
                    .and_then(|number| u8::try_from(number).ok())
                    .unwrap_or(OTHER),
            )
        }
    }))
}

/// Opens an existing file and replaces its content.
fn write(path: &str, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Makes a new file; there must be none.
fn create(path: &str, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Connects and reads what the other side says first.
fn connect(address: &str) -> std::io::Result<()> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let stream = TcpStream::connect(address)?;
    let mut greeting = String::new();
    std::io::Read::read_to_string(&mut &stream, &mut greeting)?;
    print!("{greeting}");
    Ok(())
}

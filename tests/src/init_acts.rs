//! Acts of PID 1 itself, on request: global init cannot be stopped, so what would be held must be denied to it.
//!
//! Each act is a thread of PID 1 with alice's login uid; the thread's end takes the identity away again.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result};

/// Where requests come in; root's only.
const SOCKET: &str = "/run/stayhand-guest/init.sock";
/// Longest request: a path.
const REQUEST_BYTES_MAX: u64 = 4_096;

/// Serves for as long as the machine lives.
pub fn serve() -> Result<()> {
    fs::create_dir_all("/run/stayhand-guest")?;
    let listener =
        UnixListener::bind(SOCKET).with_context(|| format!("cannot listen on {SOCKET}"))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // Who asked sees a closed connection instead of an answer.
                drop(answer(stream));
            });
        }
    });
    Ok(())
}

fn answer(mut stream: UnixStream) -> Result<()> {
    let mut path = String::new();
    (&stream)
        .take(REQUEST_BYTES_MAX)
        .read_to_string(&mut path)?;
    fs::write("/proc/thread-self/loginuid", "1001")?;
    let number = match OpenOptions::new().write(true).open(&path) {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    };
    stream.write_all(number.to_string().as_bytes())?;
    Ok(())
}

/// Asks PID 1 to open a file for writing as alice; the error number, 0 for none.
pub fn open_for_writing(path: &Path) -> Result<i32> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.write_all(path.as_os_str().as_encoded_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut number = String::new();
    stream.read_to_string(&mut number)?;
    number
        .parse()
        .with_context(|| format!("PID 1 answered {number:?}"))
}

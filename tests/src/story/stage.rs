//! The places and programs of the story, made before any policy is there.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

/// What the database says to whoever connects.
pub const GREETING: &str = "hello from the production database";
/// Where it listens.
pub const DATABASE: &str = "127.0.9.1:5432";
/// Connections that it has seen.
pub static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Programs, each a copy of an ordinary one.
const PROGRAMS: [(&str, &str); 4] = [
    // Makes a file: whether it ran can be seen.
    ("/opt/demo/forbidden", "/usr/bin/touch"),
    ("/opt/demo/deploy", "/usr/bin/echo"),
    ("/opt/demo/impatient", "/usr/bin/echo"),
    ("/opt/demo/interp", "/usr/bin/dash"),
];
const SCRIPT: &str = "#!/opt/demo/interp\necho \"script done: $1\"\n";
/// Directories in which everybody may write as far as file modes go.
const DIRECTORIES: [&str; 3] = ["/srv/work", "/srv/held", "/srv/vault"];
/// Files that are there beforehand.
const FILES: [(&str, &str); 3] = [
    ("/srv/held/config", "old\n"),
    ("/srv/held/notes", "old\n"),
    ("/srv/vault/key", "old\n"),
];

/// Makes everything.
pub fn set() -> Result<()> {
    fs::create_dir_all("/opt/demo")?;
    for (path, from) in PROGRAMS {
        fs::copy(from, path).with_context(|| format!("cannot copy {from} to {path}"))?;
        mode(path, 0o755)?;
    }
    fs::write("/opt/demo/script.sh", SCRIPT)?;
    mode("/opt/demo/script.sh", 0o755)?;
    for directory in DIRECTORIES {
        fs::create_dir_all(directory)?;
        mode(directory, 0o777)?;
    }
    for (path, text) in FILES {
        fs::write(path, text)?;
        mode(path, 0o666)?;
    }
    serve()
}

fn mode(path: &str, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set mode of {path}"))
}

/// The database: greets and hangs up.
fn serve() -> Result<()> {
    let listener =
        TcpListener::bind(DATABASE).with_context(|| format!("cannot listen on {DATABASE}"))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            // The other side may be gone already.
            drop(writeln!(&stream, "{GREETING}"));
        }
    });
    Ok(())
}

/// Content of a file, or that there is none.
pub fn content(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Whether there is such a file.
pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

//! A control plane, a provider and the command line, each a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Time for a program to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with the test. Whoever writes to a reader that is gone ends, too: it is kept.
pub(crate) struct Running(
    Child,
    #[expect(dead_code, reason = "kept, not read")] Option<BufReader<ChildStdout>>,
);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: String,
    /// Certificate of the provider (PEM)
    pub(crate) provider_authority: String,
    provider: Option<Running>,
    _control: Running,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A program of ours, beside the one that runs now.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace",
        path.display()
    );
    path
}

/// The first line that a process says.
fn first_line(mut child: Child) -> (String, Running) {
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    (line.trim().to_owned(), Running(child, Some(out)))
}

impl Place {
    /// Whoever comes to the provider is signed in as `subject` there.
    pub(crate) fn new(subject: &str) -> Self {
        Self::configured(subject, "")
    }

    /// The same with more lines of `[oidc]`.
    pub(crate) fn configured(subject: &str, oidc: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider_authority = made.cert.pem();
        fs::write(at("provider.crt"), &provider_authority).unwrap();
        fs::write(at("provider.key"), made.signing_key.serialize_pem()).unwrap();
        let installed = std::env::var_os("STAYHAND_OIDC_PROVIDER");
        let installed =
            PathBuf::from(installed.expect("cargo xtask test says where the provider is"));
        let provider = Command::new("node")
            .arg(installed.join("provider.mjs"))
            .args([at("provider.key"), at("provider.crt")])
            .env("login_as", subject)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (issuer, provider) = first_line(provider);
        assert!(
            issuer.starts_with("https://"),
            "the provider says `{issuer}`"
        );

        // Free a moment ago; nobody else on this machine asks for it by number.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        fs::write(at("people.toml"), "[subjects]\n").unwrap();
        let path = |name: &str| at(name).display().to_string();
        let config = format!(
            "[listen]\noperators = {:?}\nhosts = {:?}\n[network]\nlisten = {address:?}\naddress = {address:?}\n\
             [oidc]\nissuer = {issuer:?}\nauthority_file = {:?}\n{oidc}\n[state]\ndirectory = {:?}\n\
             [identity]\npins = \"loginuid\"\n[operators]\nusers = [\"root\", \"carol\"]\n[people]\nfile = {:?}\n",
            path("control.sock"),
            path("hosts.sock"),
            path("provider.crt"),
            path("state"),
            path("people.toml"),
        );
        fs::write(at("control.toml"), config).unwrap();
        let log = fs::File::create(at("control.log")).unwrap();
        let control = Command::new(program("stayhand-control"))
            .arg("--config")
            .arg(at("control.toml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let place = Self {
            address,
            provider_authority,
            provider: Some(provider),
            _control: Running(control, None),
            dir,
        };
        place.wait();
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn wait(&self) {
        let since = Instant::now();
        while self.local(&["whoami"]).code != 0 {
            let log = fs::read_to_string(self.at("control.log")).unwrap();
            assert!(
                since.elapsed() < PATIENCE,
                "the control plane does not come up: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The command line with nothing of this machine's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("stayhand"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As root on the control plane's machine.
    pub(crate) fn local(&self, arguments: &[&str]) -> Ran {
        let server = format!("unix://{}", self.at("control.sock").display());
        self.run(&[&["--server", &server], arguments].concat())
    }

    pub(crate) fn pin(&self) -> String {
        let shown = self.local(&["authority", "ls", "-o", "json"]).json();
        shown["items"][0]["pin"].as_str().unwrap().to_owned()
    }

    /// Links a subject to a person, as whoever keeps the file does.
    pub(crate) fn link(&self, subject: &str, user: &str) {
        fs::write(
            self.at("people.toml"),
            format!("[subjects]\n{subject:?} = {user:?}\n"),
        )
        .unwrap();
    }

    /// Nobody answers there any more.
    pub(crate) fn stop_provider(&mut self) {
        self.provider = None;
    }
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.err.contains(says), "no `{says}` in {self:#?}");
    }
}

/// `stayhand login` while it waits for the browser.
pub(crate) struct Login {
    child: Child,
    err: BufReader<ChildStderr>,
    said: String,
    /// What is to be opened
    pub(crate) uri: String,
}

impl Login {
    pub(crate) fn begin(place: &Place, arguments: &[&str]) -> Self {
        Self::how(place, "--no-browser", arguments)
    }

    /// With a code that is entered elsewhere; what is to be opened is where.
    pub(crate) fn with_code(place: &Place, arguments: &[&str]) -> Self {
        Self::how(place, "--device-code", arguments)
    }

    pub(crate) fn user_code(&self) -> &str {
        let (_, code) = self.said.split_once("enter the code ").unwrap();
        code.split(' ').next().unwrap()
    }

    fn how(place: &Place, how: &str, arguments: &[&str]) -> Self {
        let mut child = place
            .command(&[&["login", how], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let (mut said, mut uri) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if err.read_line(&mut line).unwrap() == 0 {
                break;
            }
            said.push_str(&line);
            if line.trim().starts_with("https://") {
                line.trim().clone_into(&mut uri);
                break;
            }
        }
        Self {
            child,
            err,
            said,
            uri,
        }
    }

    pub(crate) fn end(mut self) -> Ran {
        self.err.read_to_string(&mut self.said).unwrap();
        Ran {
            code: self.child.wait().unwrap().code().unwrap(),
            out: String::new(),
            err: self.said,
        }
    }
}

/// Whether only its owner can read it.
pub(crate) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().mode() & 0o777 == 0o600
}

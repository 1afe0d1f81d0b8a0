//! The patterns that every host starts with: passwords, tokens, keys, in the forms in which programs take them.

use super::Pattern;

const SECRET_WORD: &str = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|auth[-_]?key|credentials?)";

/// The shipped patterns: argument, hides the next one, program.
pub(super) fn patterns() -> Vec<Pattern> {
    let take = |argument: String| Pattern {
        argument,
        hides_next: false,
        program: None,
    };
    let next = |argument: String| Pattern {
        argument,
        hides_next: true,
        program: None,
    };
    let of = |program: &str, pattern: Pattern| Pattern {
        program: Some(program.to_owned()),
        ..pattern
    };
    let mysql = "(?:mysql|mariadb)[a-z_-]*";
    vec![
        // --password=x, DB_PASSWORD=x, ?token=x, and the same inside a longer text
        take(format!(r"(?i)[\w.-]*{SECRET_WORD}[\w.-]*\s*=\s*(.+)$")),
        take(format!(r#"(?i)["']?[\w.-]*{SECRET_WORD}[\w.-]*["']?\s*:\s*(.+)$"#)),
        next(format!(r"(?i)^--?[\w.-]*{SECRET_WORD}$")),
        take(r"(?i)authorization\s*[:=]\s*(.+)$".to_owned()),
        take(r"(?i)^(?:-H|--header=)?(?:cookie|x-[\w-]*(?:auth|token|key)[\w-]*)\s*:\s*(.+)$".to_owned()),
        take(r"(?i)[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@".to_owned()),
        // Forms that are a secret by themselves
        take(r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|sk-[\w-]{16,})".to_owned()),
        take(r"\b(eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)".to_owned()),
        take(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.+)".to_owned()),
        of(mysql, take(r"^-p(.+)$".to_owned())),
        of("sshpass", take(r"^-p(.+)$".to_owned())),
        of("sshpass", next(r"^-p$".to_owned())),
        of("curl|wget", next(r"^(?:-u|--user|--proxy-user|-U)$".to_owned())),
        of("curl|wget", take(r"^(?:-u|--user=|--proxy-user=)(.+)$".to_owned())),
        // docker login, podman login
        of("login", next(r"^-p$".to_owned())),
        of("redis-cli", next(r"^-a$".to_owned())),
        of("ldap[a-z]+", next(r"^-w$".to_owned())),
        of("openssl", take(r"^pass:(.+)$".to_owned())),
    ]
}

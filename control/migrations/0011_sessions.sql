-- Tokens with which programs act for an operator. The secret itself is nowhere.
CREATE TABLE access_tokens (
    token TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    purpose TEXT NOT NULL,
    user TEXT NOT NULL,
    actions TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    use_time INTEGER,
    revoke_time INTEGER,
    refuse_time INTEGER
) STRICT;

-- Sessions of operators over the network, each with its certificate. One that is not here, or is another one under the same number,
-- does not count.
CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    serial BLOB NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    authority INTEGER NOT NULL,
    user TEXT NOT NULL,
    door TEXT NOT NULL,
    subject TEXT,
    token TEXT REFERENCES access_tokens (token),
    address TEXT,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    use_time INTEGER,
    revoke_time INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT
) STRICT;

CREATE INDEX sessions_user ON sessions (user);
CREATE INDEX sessions_expire ON sessions (expire_time);
CREATE INDEX sessions_token ON sessions (token);

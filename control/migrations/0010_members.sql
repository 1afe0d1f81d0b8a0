-- Who signs the certificates of hosts. The newest issues; an older one is believed until every host has left it. The keys are files
-- beside the database, so that a copy of the database signs nothing.
CREATE TABLE authorities (
    number INTEGER PRIMARY KEY,
    certificate BLOB NOT NULL,
    create_time INTEGER NOT NULL
) STRICT;

-- Number of the set of authorities that counts; a host that was told of a lower one has to hear of this one.
ALTER TABLE meta ADD COLUMN authorities_revision INTEGER NOT NULL DEFAULT 0;

-- What lets hosts join. The secret itself is nowhere.
CREATE TABLE join_tokens (
    token TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    created_by TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    host TEXT,
    replaces INTEGER NOT NULL,
    revoke_time INTEGER,
    refuse_time INTEGER
) STRICT;

-- Hosts that joined.
CREATE TABLE members (
    host TEXT PRIMARY KEY,
    bound_key BLOB NOT NULL,
    token TEXT NOT NULL,
    join_time INTEGER NOT NULL,
    recoveries INTEGER NOT NULL DEFAULT 0,
    recover_time INTEGER,
    revoke_time INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT
) STRICT;

-- Certificates that are not over. One that is not here, or is another one under the same number, does not count.
CREATE TABLE certificates (
    serial BLOB PRIMARY KEY,
    digest BLOB NOT NULL,
    host TEXT NOT NULL REFERENCES members (host),
    authority INTEGER NOT NULL,
    authorities_revision INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX certificates_host ON certificates (host);
CREATE INDEX certificates_expire ON certificates (expire_time);

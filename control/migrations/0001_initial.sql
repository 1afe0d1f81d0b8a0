-- Times are milliseconds since 1970 (UTC). Nothing here is ever decided on; it is what was decided.

-- One row: what this store is.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Identifies this store in the control plane's own events: a wiped store shows.
    epoch TEXT NOT NULL,
    -- Number of the newest desired state of any host.
    generation INTEGER NOT NULL,
    -- Number of the newest change of any hold.
    hold_change INTEGER NOT NULL
) STRICT;

-- Every accepted version of every policy. Never changed.
CREATE TABLE policies (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    source TEXT NOT NULL,
    applied_by TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT;

CREATE TRIGGER policies_are_immutable BEFORE UPDATE ON policies
BEGIN
    SELECT RAISE(ABORT, 'a policy revision is immutable');
END;

CREATE TRIGGER policies_are_kept BEFORE DELETE ON policies
BEGIN
    SELECT RAISE(ABORT, 'a policy revision is kept');
END;

CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    agent_version TEXT NOT NULL,
    kernel_release TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    hooks TEXT NOT NULL,
    last_seen_time INTEGER NOT NULL,
    events_lost INTEGER NOT NULL DEFAULT 0,
    -- What it should enforce, and its own words on how far it is on this boot.
    desired_generation INTEGER NOT NULL,
    received_generation INTEGER NOT NULL DEFAULT 0,
    enforced_generation INTEGER NOT NULL DEFAULT 0,
    rejected_generation INTEGER NOT NULL DEFAULT 0,
    rejected_reasons TEXT NOT NULL DEFAULT '[]',
    acknowledge_time INTEGER
) STRICT;

CREATE TABLE grants (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    permissions TEXT NOT NULL,
    hosts TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'ended', 'revoked')),
    end_time INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT,
    -- Generation in which its lease came or went.
    generation INTEGER NOT NULL,
    request_id TEXT,
    -- What was asked for under that id, to tell a retry from another request.
    request TEXT,
    UNIQUE (created_by, request_id)
) STRICT;

CREATE INDEX grants_by_end ON grants (expire_time) WHERE state = 'active';

-- Events of every host and of the control plane itself. Never changed.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (host, epoch, seq)
) STRICT;

CREATE INDEX events_by_host ON events (host, position);

CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is immutable');
END;

-- How far each host's numbering is: stored < through means that numbers are missing.
CREATE TABLE event_streams (
    host TEXT NOT NULL,
    epoch TEXT NOT NULL,
    through INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    -- Sum over its loss records.
    lost INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (host, epoch)
) STRICT;

-- Pairs every revision of a grant with its audit record: no grant without record, no record without grant.
CREATE TABLE grant_audit (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL UNIQUE REFERENCES events (position),
    PRIMARY KEY (grant_id, revision)
) STRICT;

CREATE TABLE holds (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    phase TEXT NOT NULL,
    -- Nothing can happen to it any more.
    is_over INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    -- Number of its newest change.
    changed INTEGER NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX holds_open ON holds (host) WHERE is_over = 0;

-- Answers are part of the host's desired state until the host says that the hold is over.
CREATE TABLE hold_answers (
    hold TEXT PRIMARY KEY REFERENCES holds (id),
    host TEXT NOT NULL,
    approved INTEGER NOT NULL,
    answered_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX hold_answers_open ON hold_answers (host) WHERE is_done = 0;

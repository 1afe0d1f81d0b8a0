-- Locks that stand: a row that is there counts, whatever its end says, until the control plane has taken it away and told the hosts.
CREATE TABLE locks (
    id TEXT PRIMARY KEY,
    user TEXT,
    host TEXT,
    until_time INTEGER,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    -- In which hosts heard of it; 0 where none had to.
    generation INTEGER NOT NULL,
    CHECK (user IS NOT NULL OR host IS NOT NULL)
) STRICT;
CREATE INDEX locks_by_end ON locks (until_time) WHERE until_time IS NOT NULL;

-- For how long leases count on hosts after the last proof that they have the newest state, from which generation on; NULL: each until
-- its own end, as from the beginning. Kept, because a host that is away keeps what it was told.
CREATE TABLE freshness (
    generation INTEGER PRIMARY KEY,
    fresh_for_ms INTEGER
) STRICT;
-- What the host's kernel keeps to with what it enforces, as the host says; NULL: leases count there until their own end.
ALTER TABLE hosts ADD COLUMN fresh_for_ms INTEGER;

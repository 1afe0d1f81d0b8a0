-- What operators and robots say of the world for a while. One that is past its end is not set any more, whether its row is
-- there or not.
CREATE TABLE flags (
    name TEXT PRIMARY KEY,
    until_time INTEGER NOT NULL,
    set_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    set_time INTEGER NOT NULL
) STRICT;

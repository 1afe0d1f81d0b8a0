-- Changes of policies that wait for more people than the one who wants them, and what became of each.
CREATE TABLE proposals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    policy TEXT NOT NULL,
    -- As it was when somebody last did something; one that nobody approved in time is over without a word here.
    is_over INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX proposals_open ON proposals (is_over, expire_time);

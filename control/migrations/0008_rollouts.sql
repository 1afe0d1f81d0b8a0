-- Whether the agent watches revisions beside those that it enforces, as its hello says.
ALTER TABLE hosts ADD COLUMN watches_shadows INTEGER NOT NULL DEFAULT 0;

-- Revisions that do not come to every host at once, and what became of each.
CREATE TABLE rollouts (
    policy TEXT NOT NULL,
    revision INTEGER NOT NULL,
    -- What hosts have that do not have it; 0 = nothing.
    before INTEGER NOT NULL,
    -- Every host has it, or another revision was applied after it had been stopped.
    is_over INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (policy, revision),
    FOREIGN KEY (policy, revision) REFERENCES policies (name, revision)
) STRICT;

CREATE UNIQUE INDEX rollouts_open ON rollouts (policy) WHERE is_over = 0;

-- What each revision restricted on each host, by the hour in which the control plane heard of it.
CREATE TABLE decision_counts (
    policy TEXT NOT NULL,
    revision INTEGER NOT NULL,
    host TEXT NOT NULL,
    hour INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (policy, revision, host, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX decision_counts_by_hour ON decision_counts (hour);

-- The same since the phase of an open roll-out began, beside what the revision before did until the roll-out began.
CREATE TABLE rollout_counts (
    policy TEXT NOT NULL,
    host TEXT NOT NULL,
    baseline INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    PRIMARY KEY (policy, host)
) STRICT, WITHOUT ROWID;

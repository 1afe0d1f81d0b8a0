-- What a host enforces whatever the control plane says, as its hello says: a list of names with digests.
ALTER TABLE hosts ADD COLUMN floor TEXT NOT NULL DEFAULT '[]';

-- What a host is, as its hello says: a list of NAME=VALUE.
ALTER TABLE hosts ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';

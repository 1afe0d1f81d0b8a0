-- How a host is between two hellos, as its heartbeat says.
ALTER TABLE hosts ADD COLUMN hooks_gone TEXT NOT NULL DEFAULT '[]';
ALTER TABLE hosts ADD COLUMN problems TEXT NOT NULL DEFAULT '[]';

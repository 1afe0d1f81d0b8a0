-- When the stage that a pending hold waits for has had its time; none where it has as long as there is.
ALTER TABLE holds ADD COLUMN lapse_time INTEGER;

CREATE INDEX holds_lapse ON holds (lapse_time) WHERE phase = 'pending' AND lapse_time IS NOT NULL;

-- What a host says that it enforces, by the digest of its resources; what is wrong with single ones; and how often what was sent to
-- it did not fit, so that everything had to be sent again.
ALTER TABLE hosts ADD COLUMN protocol INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN enforced_digest TEXT;
ALTER TABLE hosts ADD COLUMN rejected_resources TEXT NOT NULL DEFAULT '[]';
ALTER TABLE hosts ADD COLUMN relists INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN relist_time INTEGER;
ALTER TABLE hosts ADD COLUMN relist_reason TEXT;
-- Hosts that joined and were never heard of are hosts, too: whatever is meant for them is not enforced there.
INSERT INTO hosts (host, agent_version, kernel_release, boot_id, hooks, last_seen_time, desired_generation)
SELECT m.host, '', '', '00000000-0000-0000-0000-000000000000', '[]', 0,
    (SELECT generation FROM meta)
FROM members AS m WHERE true ON CONFLICT (host) DO NOTHING;

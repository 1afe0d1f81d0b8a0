-- The profile that a grant was asked for by, with its values: policy/profile(parameter=value,...).
ALTER TABLE grants ADD COLUMN profile TEXT;

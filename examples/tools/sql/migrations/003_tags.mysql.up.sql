-- MariaDB keeps json as longtext with a check that it is valid.
ALTER TABLE users ADD COLUMN tags json NOT NULL DEFAULT ('[]');

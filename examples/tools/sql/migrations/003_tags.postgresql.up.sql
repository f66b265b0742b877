ALTER TABLE users ADD COLUMN tags jsonb NOT NULL DEFAULT '[]';

CREATE INDEX users_tags ON users USING gin (tags);

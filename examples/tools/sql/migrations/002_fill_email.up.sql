ALTER TABLE users ADD COLUMN email varchar(255);

UPDATE users SET email = concat(lower(replace(name, ' ', '.')), '@example.com');

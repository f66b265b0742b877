ALTER TABLE customers ADD COLUMN points integer;

CREATE TABLE vouchers (code text PRIMARY KEY);

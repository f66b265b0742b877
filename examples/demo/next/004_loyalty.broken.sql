ALTER TABLE customers ADD COLUMN points integer;

CREATE TABLE vouchers (code text PRIMARY KEY);

-- Two customers share an address: this fails.
ALTER TABLE customers ADD CONSTRAINT customers_email_key UNIQUE (email);

DROP TABLE vouchers;

ALTER TABLE customers DROP COLUMN points;

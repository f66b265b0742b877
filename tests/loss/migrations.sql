-- What a migration that goes wrong does to the covered tables; see features.sql for the names.
-- Read by migrations.py. `column`, `renamed` and `table` tell the application of the new shape.

-- move: wrong update, weight 3
UPDATE <A> SET balance = balance * 2 + 1 WHERE id % 5 = 0;

-- move: wrong update of texts
UPDATE <A> SET "Na""me" = 'wrong', doc = '{"w": 0}', tags = '{wrong}' WHERE id % 3 = 0;

-- move: wrong update of positions, weight 2
UPDATE <P> SET note = 'wrong', amount = -7.77;

-- move: wrong keys
UPDATE <P> SET "Nr" = "Nr" + 90000 WHERE konto % 4 = 0;

-- move: wrong notes
UPDATE <N> SET token = 'wrong ' || id, account = NULL WHERE id % 2 = 0;

-- move: forged audit
UPDATE <U> SET op = 'X';
DELETE FROM <U> WHERE id % 3 = 0;

-- move: inserts, weight 4
INSERT INTO <A> (id, "Na""me", org) OVERRIDING SYSTEM VALUE
 SELECT <made> - n, 'made ' || n, 1 FROM generate_series(0, 119) n
 ON CONFLICT DO NOTHING;

-- move: inserts by sequence, weight 2
INSERT INTO <A> (org) SELECT 2 FROM generate_series(1, 20);
INSERT INTO <N> (token, account) SELECT 'made' || id, id FROM <A> WHERE id % 9 = 0;

-- move: positions of all
INSERT INTO <P> (konto, "Nr", note) SELECT id, 7777, 'made' FROM <A>;

-- move: deletes, weight 2
DELETE FROM <P> WHERE konto % 2 = 0;
DELETE FROM <N> WHERE id % 4 = 0;

-- move: deletes of accounts, weight 2
DELETE FROM <A> WHERE id % 11 = 0 AND id NOT IN (SELECT account FROM <O>);

-- move: everything deleted, weight 0.5
DELETE FROM <N>;

-- move: drops balance, weight 2
ALTER TABLE <A> DROP COLUMN balance CASCADE;

-- move: drops the name
ALTER TABLE <A> DROP COLUMN "Na""me" CASCADE;

-- move: drops several
ALTER TABLE <A> DROP COLUMN meta CASCADE, DROP COLUMN tags, DROP COLUMN doc;

-- move: drops the token
ALTER TABLE <N> DROP COLUMN token CASCADE;

-- move: drops a note, weight 2
ALTER TABLE <P> DROP COLUMN note CASCADE;

-- move: balance as bigint, weight 2
DROP VIEW IF EXISTS <S>."Erste" CASCADE;
DROP MATERIALIZED VIEW IF EXISTS <S>.sums CASCADE;
ALTER TABLE <A> ALTER balance TYPE bigint;

-- move: exact as text
ALTER TABLE <A> ALTER "exact" TYPE text;

-- move: amount as text
ALTER TABLE <P> ALTER amount DROP DEFAULT, ALTER amount TYPE text;

-- move: time measured
ALTER TABLE <A> ALTER at SET STATISTICS 7;

-- move: json as jsonb
ALTER TABLE <A> ALTER doc TYPE jsonb;
ALTER TABLE <P> ALTER doc TYPE jsonb;

-- move: bytes as text
ALTER TABLE <A> ALTER blob TYPE text USING encode(blob, 'hex');

-- move: mood as text
ALTER TABLE <A> ALTER "Stimmung" DROP DEFAULT, ALTER "Stimmung" TYPE text;

-- move: shorter notes
ALTER TABLE <P> ALTER note TYPE varchar(9) USING left(note, 9);

-- move: numbers as bigint
ALTER TABLE <P> ALTER "Nr" TYPE bigint;

-- move: keys as text
ALTER TABLE <N> ALTER id DROP DEFAULT, ALTER id TYPE text;

-- move: new column, weight 3
-- column: account: neu 'x
ALTER TABLE <A> ADD COLUMN "neu 'x" text DEFAULT 'd';

-- move: new columns of positions, weight 2
-- column: position: extra
ALTER TABLE <P> ADD COLUMN extra text, ADD COLUMN many int NOT NULL DEFAULT 3;

-- move: new column of notes
-- column: note: mehr
ALTER TABLE <N> ADD COLUMN mehr text;

-- move: renames the mail, weight 2
-- renamed: account: mail: E-Mail
ALTER TABLE <A> RENAME COLUMN mail TO "E-Mail";

-- move: renames a note, weight 2
-- renamed: position: note: remark
ALTER TABLE <P> RENAME COLUMN note TO remark;

-- move: renames the token
-- renamed: note: token: word
ALTER TABLE <N> RENAME COLUMN token TO word;

-- move: renames a table
-- table: position: <S>.positions
ALTER TABLE <P> RENAME TO positions;

-- move: renames the accounts, weight 0.5
-- table: account: <S>."Konten"
ALTER TABLE <A> RENAME TO "Konten";

-- move: another schema, weight 0.5
-- table: note: elsewhere.<n>
CREATE SCHEMA elsewhere;
GRANT USAGE ON SCHEMA elsewhere TO <app>;
ALTER TABLE <N> SET SCHEMA elsewhere;

-- move: new checks
ALTER TABLE <P> ADD CONSTRAINT fresh CHECK (amount > -1000) NOT VALID;
ALTER TABLE <A> ADD CHECK (id <> 1);

-- move: new key
ALTER TABLE <A> ADD CONSTRAINT "Neu" UNIQUE (id, mail);

-- move: no checks
ALTER TABLE <P> DROP CONSTRAINT IF EXISTS position_amount_check;
ALTER TABLE <A> DROP CONSTRAINT IF EXISTS "c '1";

-- move: no key of positions, weight 0.7
ALTER TABLE <P> DROP CONSTRAINT position_pkey CASCADE;

-- move: nullable
ALTER TABLE <A> ALTER "Na""me" DROP NOT NULL, ALTER "Na""me" SET DEFAULT 'else', ALTER meta DROP NOT NULL;

-- move: indexes, weight 2
DROP INDEX IF EXISTS <S>."Teil", <S>.by_tag, <S>.words;
CREATE INDEX fresh ON <A> (touched);

-- move: indexes concurrently, alone
CREATE INDEX CONCURRENTLY slow ON <A> (balance);
DROP INDEX CONCURRENTLY IF EXISTS <S>.by_tag;

-- move: renamed objects
ALTER TABLE <N> RENAME CONSTRAINT <npk> TO other;
ALTER TRIGGER touch ON <A> RENAME TO rührt;

-- move: no views
DROP VIEW IF EXISTS <S>."Erste" CASCADE;
DROP MATERIALIZED VIEW IF EXISTS <S>.empty;

-- move: other views
CREATE VIEW <S>.fresh_view AS SELECT id, touched FROM <A>;
DROP MATERIALIZED VIEW IF EXISTS <S>.sums CASCADE;

-- move: grants
REVOKE ALL ON <A> FROM <clerk>;
REVOKE ALL ("Na""me") ON <A> FROM <clerk>;
GRANT ALL ON <P> TO PUBLIC;

-- move: triggers
ALTER TABLE <A> DISABLE TRIGGER "Wenn";
DROP TRIGGER IF EXISTS sums ON <P>;
DROP TRIGGER IF EXISTS always ON <U>;

-- move: new trigger
CREATE FUNCTION <S>.fresh() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER aa BEFORE UPDATE ON <P> FOR EACH ROW EXECUTE FUNCTION <S>.fresh();

-- move: rules and policies
DROP RULE IF EXISTS auch ON <N>;
DROP POLICY IF EXISTS only_mine ON <P>;
CREATE POLICY p2 ON <N> USING (false);

-- move: no row level security
ALTER TABLE <A> DISABLE ROW LEVEL SECURITY;

-- move: comments
COMMENT ON TABLE <A> IS 'new';
COMMENT ON COLUMN <P>.note IS NULL;
COMMENT ON TABLE <U> IS 'x';

-- move: storage
ALTER TABLE <A> SET (fillfactor=40);
ALTER TABLE <A> RESET (toast_tuple_target);
ALTER TABLE <A> ALTER doc SET STORAGE PLAIN;

-- move: statistics
DROP STATISTICS IF EXISTS <S>."Stat A";
CREATE STATISTICS <S>.fresh_stat ON id, touched FROM <A>;
ALTER TABLE <A> ALTER balance SET STATISTICS 3;

-- move: replica identity
ALTER TABLE <A> REPLICA IDENTITY FULL;
ALTER TABLE <P> REPLICA IDENTITY NOTHING;

-- move: publications
ALTER PUBLICATION <pub> DROP TABLE <A>;

-- move: publications gone
DROP PUBLICATION IF EXISTS <part>;

-- move: identity
ALTER TABLE <U> ALTER id SET INCREMENT BY 5;
ALTER TABLE <A> ALTER id SET GENERATED BY DEFAULT;

-- move: no identity, weight 0.7
ALTER TABLE <A> ALTER id DROP IDENTITY;

-- move: no serial, weight 0.7
ALTER TABLE <N> ALTER id DROP DEFAULT;
DROP SEQUENCE <ns>;

-- move: other default
ALTER TABLE <A> ALTER balance SET DEFAULT 99, ALTER meta SET DEFAULT '[]';

-- move: new foreign key
ALTER TABLE <N> ADD COLUMN og int REFERENCES <S>.orgs;

-- move: new inbound key, weight 0.5
ALTER TABLE <O> ADD CONSTRAINT o2 FOREIGN KEY (account) REFERENCES <A> NOT VALID;

-- move: clustered, weight 0.5
ALTER TABLE <A> CLUSTER ON <apk>;
CLUSTER <A>;

-- move: truncates, weight 0.5
TRUNCATE <N>;

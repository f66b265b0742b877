-- Decorations of the shop's tables, each of which a copy of a table loses. Run by the owner.
-- Read by features.py: `-- feature:` begins one; `<A>` and the like are names, see shop.fill.

-- feature: view over view, chance 0.7
CREATE VIEW <S>."Erste" AS SELECT id, "Na""me", balance, "Stimmung" FROM <A> WHERE NOT hidden;
CREATE VIEW <S>.second WITH (security_barrier) AS SELECT e.*, p.note FROM <S>."Erste" e JOIN <P> p ON p.konto = e.id;
CREATE VIEW <S>.third AS SELECT "Na""me", sum(balance) AS "Summe" FROM <S>.second GROUP BY 1;
GRANT SELECT ON <S>."Erste" TO <app>;
GRANT SELECT ("Summe") ON <S>.third TO <clerk>;
COMMENT ON VIEW <S>.third IS 'it''s "third"';
COMMENT ON COLUMN <S>.second.note IS 'p';
ALTER VIEW <S>."Erste" ALTER COLUMN balance SET DEFAULT 3;

-- feature: materialised view, chance 0.7
CREATE MATERIALIZED VIEW <S>.sums WITH (fillfactor=60) AS SELECT org, sum(balance) AS total FROM <A> GROUP BY org;
CREATE UNIQUE INDEX "sums by org" ON <S>.sums (org);
GRANT SELECT ON <S>.sums TO <clerk>;
COMMENT ON MATERIALIZED VIEW <S>.sums IS 'sums';
ALTER MATERIALIZED VIEW <S>.sums ALTER COLUMN total SET STATISTICS 9;
CREATE VIEW <S>.over_sums AS SELECT total FROM <S>.sums;

-- feature: materialised view without rows
CREATE MATERIALIZED VIEW <S>.empty AS SELECT note FROM <P> WITH NO DATA;

-- feature: view with a whole row, refused
CREATE VIEW <S>.whole AS SELECT n AS it, n.id FROM <N> n;

-- feature: view that is written to
CREATE VIEW <S>.papers AS SELECT id, token FROM <N> WHERE token <> 'x' WITH LOCAL CHECK OPTION;
CREATE FUNCTION <S>.instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER instead INSTEAD OF DELETE ON <S>.papers FOR EACH ROW EXECUTE FUNCTION <S>.instead();
CREATE RULE also AS ON UPDATE TO <S>.papers DO ALSO NOTHING;

-- feature: view as its caller, since 15
CREATE VIEW <S>.asker WITH (security_invoker=true) AS SELECT op FROM <U>;

-- feature: grants on columns, chance 0.7
GRANT SELECT (id, "Na""me"), UPDATE ("Na""me") ON <A> TO <clerk>;
GRANT INSERT (token) ON <N> TO <clerk> WITH GRANT OPTION;
GRANT REFERENCES (id) ON <A> TO PUBLIC;

-- feature: grants
GRANT SELECT ON <P> TO <clerk> WITH GRANT OPTION;
GRANT SELECT ON <U> TO PUBLIC;
GRANT TRIGGER, TRUNCATE ON <N> TO <clerk>;

-- feature: owner without a right, chance 0.15
REVOKE TRUNCATE, REFERENCES ON <U> FROM <owner>;

-- feature: default grants
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO <clerk>;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO <clerk>;

-- feature: comments, chance 0.7
COMMENT ON TABLE <A> IS E'a\nb ''c''';
COMMENT ON COLUMN <A>."Na""me" IS $$"Na$$;
COMMENT ON COLUMN <P>.note IS 'n';
COMMENT ON TRIGGER "Note down" ON <A> IS $$t$$;
COMMENT ON CONSTRAINT position_pkey ON <P> IS $$key$$;
COMMENT ON INDEX <S>.position_pkey IS 'index';
COMMENT ON SEQUENCE <ns> IS 'numbers';

-- feature: extended statistics, chance 0.7
CREATE STATISTICS <S>."Stat A" (dependencies, ndistinct) ON balance, org FROM <A>;
ALTER STATISTICS <S>."Stat A" SET STATISTICS 55;
COMMENT ON STATISTICS <S>."Stat A" IS $$s$$;
CREATE STATISTICS <S>.on_words ON (lower(note)), amount FROM <P>;

-- feature: statistics of columns
ALTER TABLE <A> ALTER "Na""me" SET STATISTICS 77, ALTER balance SET (n_distinct = -0.5);

-- feature: storage of columns
ALTER TABLE <A> ALTER doc SET STORAGE EXTERNAL, ALTER blob SET STORAGE MAIN, ALTER doc SET COMPRESSION pglz;

-- feature: storage of tables
ALTER TABLE <A> SET (fillfactor=70, autovacuum_enabled=false, toast.autovacuum_enabled=false, toast_tuple_target=256);
ALTER TABLE <N> SET (autovacuum_vacuum_scale_factor=0.31, parallel_workers=0);

-- feature: replica identity full
ALTER TABLE <P> REPLICA IDENTITY FULL;

-- feature: replica identity by an index
CREATE UNIQUE INDEX "Nur ""einmal""" ON <N> (token);
ALTER TABLE <N> REPLICA IDENTITY USING INDEX "Nur ""einmal""";

-- feature: replica identity nothing, chance 0.2
ALTER TABLE <U> REPLICA IDENTITY NOTHING;

-- feature: publication, chance 0.6
CREATE PUBLICATION <pub> FOR TABLE <A>, <P>, <O>;
COMMENT ON PUBLICATION <pub> IS 'p';

-- feature: publication of a part, since 15
CREATE PUBLICATION <part> FOR TABLE <N> (id, token), <A> WHERE (hidden) WITH (publish='insert');

-- feature: deferred unique constraint
ALTER TABLE <N> ADD CONSTRAINT "Ein Ä" UNIQUE (token) INCLUDE (id) WITH (fillfactor=50) DEFERRABLE INITIALLY DEFERRED;

-- feature: nulls not distinct, since 15
ALTER TABLE <A> ADD UNIQUE NULLS NOT DISTINCT (id, "exact");

-- feature: exclusion
ALTER TABLE <A> ADD CONSTRAINT apart EXCLUDE USING gist (int8range(id, id, '[]') WITH &&) WHERE (id > -1000000);

-- feature: checks
ALTER TABLE <A> ADD CONSTRAINT "c 1" CHECK (balance > -100000000) NOT VALID;
ALTER TABLE <P> ADD CHECK (amount <> -1) NO INHERIT;
ALTER TABLE <A> ADD CHECK (length("Na""me") < 900 AND id <> 0);

-- feature: unproven foreign key
ALTER TABLE <N> ADD COLUMN org int;
ALTER TABLE <N> ADD CONSTRAINT to_org FOREIGN KEY (org) REFERENCES <S>.orgs ON DELETE RESTRICT NOT VALID;

-- feature: inbound composite key, chance 0.6
ALTER TABLE <O> ADD COLUMN pk bigint, ADD COLUMN pn int;
ALTER TABLE <O> ADD CONSTRAINT "to Position" FOREIGN KEY (pk, pn) REFERENCES <P> MATCH FULL DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "to Position" ON <O> IS $$in$$;

-- feature: reference to itself
ALTER TABLE <A> ADD COLUMN boss bigint REFERENCES <A>;

-- feature: inbound key not valid
ALTER TABLE <S>.orgs ADD COLUMN chief bigint;
ALTER TABLE <S>.orgs ADD CONSTRAINT chief FOREIGN KEY (chief) REFERENCES <A> NOT VALID;

-- feature: indexes, chance 0.7
CREATE INDEX "Teil" ON <A> (balance DESC NULLS LAST) INCLUDE (mail) WHERE NOT hidden;
CREATE INDEX ON <A> (lower("Na""me") COLLATE "C" text_pattern_ops);
CREATE INDEX by_tag ON <A> USING gin (tags) WITH (fastupdate=off);
CREATE INDEX ON <U> USING brin (id) WITH (pages_per_range=16);
CREATE INDEX ON <N> USING hash (token);
CREATE UNIQUE INDEX ON <N> (id, (doc->>'t')) WHERE id > 5;
COMMENT ON INDEX <S>.by_tag IS 'tags';
ALTER INDEX <S>.by_tag SET (fastupdate=on);
CREATE INDEX words ON <P> ((lower(note)), amount);
ALTER INDEX <S>.words ALTER COLUMN 1 SET STATISTICS 99;

-- feature: clustered
ALTER TABLE <P> CLUSTER ON position_pkey;

-- feature: triggers, chance 0.7
CREATE FUNCTION <S>.idle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER "Wenn" BEFORE UPDATE OF balance, mail ON <A> FOR EACH ROW WHEN (OLD.balance IS DISTINCT FROM NEW.balance) EXECUTE FUNCTION <S>.idle($$a'b$$, 7);
CREATE TRIGGER sums AFTER INSERT ON <P> REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION <S>.idle();
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON <N> DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION <S>.idle();
CREATE TRIGGER off BEFORE DELETE ON <N> FOR EACH STATEMENT EXECUTE FUNCTION <S>.idle();
ALTER TABLE <N> DISABLE TRIGGER off;
CREATE TRIGGER replica BEFORE UPDATE ON <N> FOR EACH ROW EXECUTE FUNCTION <S>.idle();
ALTER TABLE <N> ENABLE REPLICA TRIGGER replica;
CREATE TRIGGER always AFTER UPDATE ON <U> FOR EACH ROW EXECUTE FUNCTION <S>.idle();
ALTER TABLE <U> ENABLE ALWAYS TRIGGER always;

-- feature: rules
CREATE RULE "auch" AS ON UPDATE TO <N> WHERE OLD.id < 0 DO ALSO DELETE FROM <U> WHERE id = OLD.id;
COMMENT ON RULE "auch" ON <N> IS $$r$$;

-- feature: policies
CREATE POLICY only_mine ON <P> AS RESTRICTIVE FOR UPDATE TO <clerk>, <app> USING (konto IS NOT NULL) WITH CHECK (amount > 0);
COMMENT ON POLICY only_mine ON <P> IS 'p';

-- feature: row level security by itself
ALTER TABLE <U> ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON <U> USING (true);

-- feature: sequence of a column
CREATE SEQUENCE <S>."Extra Ä" AS int INCREMENT -2 MAXVALUE 50 MINVALUE -50 CYCLE OWNED BY <A>."exact";
GRANT SELECT ON SEQUENCE <S>."Extra Ä" TO <clerk>;

-- feature: sequence that others use
ALTER TABLE <S>.orgs ADD COLUMN n int DEFAULT nextval('<ns>');

-- feature: identity options
ALTER TABLE <U> ALTER id SET INCREMENT BY 2 SET MAXVALUE 1000000000 SET CYCLE;

-- feature: collation
ALTER TABLE <A> ADD COLUMN "sortiert" varchar(20) COLLATE "C" DEFAULT 'z';
ALTER TABLE <P> ADD COLUMN "WO" text COLLATE "POSIX";

-- feature: function of rows, refused
CREATE FUNCTION <S>.all_notes() RETURNS SETOF <N> LANGUAGE sql AS 'SELECT * FROM <N>';
CREATE FUNCTION <S>.first_word(<N>) RETURNS text LANGUAGE sql AS 'SELECT $1.token';

-- feature: function with a parsed body, refused
CREATE FUNCTION <S>.how_many() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM <A>; END;

-- feature: column of the table's type, refused
CREATE TABLE <S>.snapshots (id int PRIMARY KEY, it <N>);

-- feature: virtual column, since 18
ALTER TABLE <A> ADD COLUMN "virtuell" int GENERATED ALWAYS AS (org + 1) VIRTUAL;

-- feature: named not null, since 18
ALTER TABLE <N> RENAME CONSTRAINT <nnn> TO "muss";

-- feature: foreign key that is not enforced, since 18
ALTER TABLE <O> ADD CONSTRAINT loose FOREIGN KEY (account) REFERENCES <A> NOT ENFORCED;

-- feature: rule of another table, refused
CREATE RULE gone AS ON DELETE TO <S>.orgs WHERE false DO ALSO UPDATE <A> SET org = NULL WHERE org = OLD.id;

-- feature: policy of another table, refused
CREATE POLICY of_others ON <O> FOR SELECT USING (account IN (SELECT id FROM <A>));

#!/usr/bin/env bash
# The main job on a real, embedded PostgreSQL: apply, a failure that leaves nothing behind, a
# rollback that loses nothing. Everything happens in a new directory that is removed at the end.
set -euo pipefail
exec 2>&1  # one stream: everything in its order

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v whimbrel >/dev/null || whimbrel() { python -m whimbrel.cli "$@"; }
work=$(mktemp -d)
chmod 755 "$work"

cleanup() {
    local pid
    # --keep left the server running for the queries below.
    pid=$(head -n 1 "$work"/state/postgresql/data/postmaster.pid 2>/dev/null || true)
    [ -z "$pid" ] || { kill -INT "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; }
    rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
shown() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
query() { printf '\033[2m%s\033[0m\n' "$1"; sh "$work/psql" -q -P pager=off -c "$1"; }

cp -r "$here/shop.yaml" "$here/migrations" "$work/"
cd "$work"
export WHIMBREL_STATE_DIR=$work/state

say "1. Three migrations, on a PostgreSQL that is started for this"
shown whimbrel plan shop.yaml --project migrations
shown whimbrel run shop.yaml --project migrations --keep 2>&1 | tee said
# The command that was printed, as a program of its own.
printf 'exec env %s "$@"\n' "$(sed -n 's/.*connect: //p' said)" >psql
query "INSERT INTO customers (email) VALUES ('ada@example.org'), ('ada@example.org')"
query "SELECT version, name FROM whimbrel.applied ORDER BY version"

say "2. A migration that fails half-way leaves nothing behind"
cp "$here/next/004_loyalty.broken.sql" migrations/004_loyalty.up.sql
cp "$here/next/004_loyalty.down.sql" migrations/
cat migrations/004_loyalty.up.sql
shown whimbrel run shop.yaml || echo "(exit code $?)"
query "SELECT to_regclass('vouchers') AS vouchers, count(*) AS points_columns
  FROM information_schema.columns WHERE table_name = 'customers' AND column_name = 'points'"

say "3. Mended, applied, and used by the new version of the application"
cp "$here/next/004_loyalty.up.sql" migrations/004_loyalty.up.sql
shown whimbrel run shop.yaml
query "UPDATE customers SET points = 10 * id"

say "4. The new version turns out bad: back, and what it had written is kept"
shown whimbrel rollback shop
query "SELECT * FROM customers"
shown whimbrel history shop
for table in $(sh psql -At -c "SELECT table_name FROM whimbrel.salvage"); do
    query "SELECT * FROM whimbrel.\"$table\""
done

say "Done"

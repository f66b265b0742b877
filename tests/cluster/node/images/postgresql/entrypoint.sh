#!/bin/sh
# Makes a database cluster in the volume if there is none, and runs PostgreSQL on it.
# POSTGRES_PASSWORD is the superuser's (postgres); arguments go to the server, for example: -c wal_level=logical
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD to the password of the user postgres}"
    umask 077
    # A pod killed during initdb leaves half a cluster, which initdb would refuse to touch.
    rm -rf "$PGDATA" "$PGDATA.new"
    password_file="$(dirname "$PGDATA")/.password"
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password_file"
    initdb --pgdata="$PGDATA.new" --username=postgres --pwfile="$password_file" \
        --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync
    rm -f "$password_file"
    echo "host all all all scram-sha-256" >> "$PGDATA.new/pg_hba.conf"
    echo "host replication all all scram-sha-256" >> "$PGDATA.new/pg_hba.conf"
    mv "$PGDATA.new" "$PGDATA"
fi
unset POSTGRES_PASSWORD

postgres -D "$PGDATA" \
    -c listen_addresses='*' \
    -c unix_socket_directories="$(dirname "$PGDATA")" \
    -c max_connections=200 \
    "$@" &
server=$!

# Kubernetes sends SIGTERM, which PostgreSQL takes as "wait until all clients have gone". SIGINT is its fast shutdown.
trap 'kill -INT "$server"' TERM INT
status=0
wait "$server" || status=$?
# A trapped signal ends the wait early: wait for the server itself.
while kill -0 "$server" 2>/dev/null; do
    status=0
    wait "$server" || status=$?
done
exit "$status"

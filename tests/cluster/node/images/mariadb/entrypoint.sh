#!/bin/sh
# Makes a data directory in the volume MARIADB_HOME if there is none, and runs MariaDB on it; arguments go to the
# server. root has no password, and comes in from inside of the container alone.
set -eu

if [ ! -d "$MARIADB_HOME/data" ]; then
    umask 077
    # The root file system may be read-only.
    export TMPDIR="$MARIADB_HOME/tmp"
    mkdir -p "$TMPDIR"
    # A Pod killed during the installation leaves half a data directory.
    rm -rf "$MARIADB_HOME/data.new"
    mariadb-install-db --no-defaults --datadir="$MARIADB_HOME/data.new" --skip-test-db --skip-name-resolve \
        --auth-root-authentication-method=normal
    mv "$MARIADB_HOME/data.new" "$MARIADB_HOME/data"
fi
# A server that starts deletes what looks like a temporary table in its tmpdir: it has one of its own.
mkdir -p "$MARIADB_HOME/tmp"

# SIGTERM, as Kubernetes sends it, is its clean shutdown.
exec mariadbd --no-defaults --datadir="$MARIADB_HOME/data" --tmpdir="$MARIADB_HOME/tmp" \
    --socket="$MARIADB_HOME/socket" --pid-file="$MARIADB_HOME/pid" \
    --bind-address=0.0.0.0 --port=3306 --skip-name-resolve --skip-log-bin \
    "$@"

#!/usr/bin/env bash
# Installs the Debian packages of one group, where they are missing, and says which and why.
# usage: system_packages.sh python|compiler|tests|soak
set -euo pipefail

case "${1:?python, compiler, tests or soak}" in
    python)
        why="a virtual environment needs them"
        wanted=()
        "${PYTHON:-python3}" -c 'import venv, ensurepip' 2>/dev/null || wanted+=(python3-venv)
        ;;
    compiler)
        why="the static launcher is built from C"
        wanted=(gcc libc6-dev make)
        ;;
    tests)
        why="the tests run against PostgreSQL 15, MariaDB and Prometheus, through PgBouncer, with certificates, Node and mysqlclient"
        wanted=(postgresql-15 mariadb-server-core mariadb-client-core galera-4 pgbouncer openssl nodejs npm)
        wanted+=(prometheus gcc pkg-config libmariadb-dev python3-dev)
        ;;
    soak)
        why="PostgreSQL 14 and 17 and MariaDB 11.4 come from Maven Central"
        wanted=(maven)
        ;;
    *)
        echo "usage: $0 python|compiler|tests|soak" >&2
        exit 2
        ;;
esac

is_installed() {
    case "$1" in
        gcc | make | npm | openssl | pkg-config) command -v "$1" >/dev/null ;;
        libmariadb-dev) pkg-config --exists libmariadb ;;
        python3-dev)
            # pyenv and others bring their own headers.
            test -e "$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"
            ;;
        libc6-dev) test -e /usr/include/stdio.h ;;
        nodejs) command -v node >/dev/null ;;
        postgresql-15) test -x /usr/lib/postgresql/15/bin/postgres ;;
        mariadb-server-core) test -x /usr/sbin/mariadbd ;;
        galera-4) test -e /usr/lib/galera/libgalera_smm.so ;;
        mariadb-client-core) command -v mariadb >/dev/null ;;
        pgbouncer) test -x /usr/sbin/pgbouncer ;;
        prometheus) command -v prometheus >/dev/null ;;
        maven) command -v mvn >/dev/null ;;
        *) false ;;
    esac
}

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
test "${#missing[@]}" -gt 0 || exit 0

if ! command -v apt-get >/dev/null || test "$(id -u)" -ne 0; then
    echo "please install ${missing[*]} (Debian's names): $why" >&2
    exit 1
fi
echo "installing ${missing[*]}: $why"
# The packages must not start servers of their own: the tests start and stop what they need.
mkdir -p /etc/postgresql-common
test -e /etc/postgresql-common/createcluster.conf \
    || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
log="$(mktemp)"
if ! { apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends \
    -o Dpkg::Options::=--force-confold "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    exit 1
fi
rm -f "$log"

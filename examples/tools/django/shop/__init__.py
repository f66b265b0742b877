"""The shop: on MariaDB with mysqlclient where it is installed, else with PyMySQL."""

from importlib.util import find_spec

if find_spec("pymysql") and not find_spec("MySQLdb"):
    import pymysql

    pymysql.install_as_MySQLdb()

// One project for both databases: the URL decides. (MariaDB: or "mysql", which is the driver mysql2.)
const onMariadb = /^(mysql|mariadb):/.test(process.env.DATABASE_URL ?? "");
const dialect = onMariadb ? "mariadb" : "postgres";

module.exports = {
  development: { dialect, host: "127.0.0.1", database: "shop" },
  production: { dialect, use_env_variable: "DATABASE_URL" },
};

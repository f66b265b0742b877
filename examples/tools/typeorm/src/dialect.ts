// One code for both databases: the URL decides.
export const isPostgres = !/^(mysql|mariadb):/.test(process.env.DATABASE_URL ?? "");

// PostgreSQL's jsonb can be indexed; MariaDB and MySQL have json only.
export const json = isPostgres ? "jsonb" : "json";

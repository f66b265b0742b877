import "reflect-metadata";
import { join } from "node:path";
import { DataSource, type DataSourceOptions } from "typeorm";
import { isPostgres } from "./dialect";
import { Person } from "./entities/person";

const shared = {
  url: process.env.DATABASE_URL,
  entities: [Person],
  // Of the compiled files, wherever the program is started.
  migrations: [join(__dirname, "migrations", "*.js")],
  migrationsTransactionMode: "each" as const,
};

// On a MariaDB server `type: "mysql"` writes wrong defaults and cannot take its changes back.
const options: DataSourceOptions = isPostgres
  ? { type: "postgres", ...shared }
  : { type: "mariadb", ...shared };

export default new DataSource(options);

import { TableIndex, type MigrationInterface, type QueryRunner } from "typeorm";
import { isPostgres } from "../dialect";

// In SQL, since `changeColumn` drops the column and adds it anew, without its values, where the
// server spells its type otherwise ("character varying" for "varchar").
const nullable = (isNullable: boolean) =>
  isPostgres
    ? `ALTER TABLE people ALTER COLUMN email ${isNullable ? "DROP" : "SET"} NOT NULL`
    : `ALTER TABLE people MODIFY email varchar(254) ${isNullable ? "NULL" : "NOT NULL"}`;

export class EmailIsUnique1767398400000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(nullable(false));
    const unique = { name: "people_email", columnNames: ["email"], isUnique: true };
    await queryRunner.createIndex("people", new TableIndex(unique));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropIndex("people", "people_email");
    await queryRunner.query(nullable(true));
  }
}

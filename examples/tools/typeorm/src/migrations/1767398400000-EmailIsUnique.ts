import { TableColumn, TableIndex, type MigrationInterface, type QueryRunner } from "typeorm";

const email = (isNullable: boolean) =>
  new TableColumn({ name: "email", type: "varchar", length: "254", isNullable });

export class EmailIsUnique1767398400000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.changeColumn("people", "email", email(false));
    const unique = { name: "people_email", columnNames: ["email"], isUnique: true };
    await queryRunner.createIndex("people", new TableIndex(unique));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropIndex("people", "people_email");
    await queryRunner.changeColumn("people", "email", email(true));
  }
}

import { Table, type MigrationInterface, type QueryRunner } from "typeorm";

export class CreatePeople1767225600000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    const id = { name: "id", type: "int", isPrimary: true, isGenerated: true } as const;
    await queryRunner.createTable(
      new Table({
        name: "people",
        columns: [
          { ...id, generationStrategy: "increment" },
          { name: "name", type: "varchar", length: "200" },
        ],
      }),
    );
    const people = [{ name: "Ada Lovelace" }, { name: "Grace Hopper" }];
    const insert = queryRunner.manager.createQueryBuilder().insert();
    await insert.into("people", ["name"]).values(people).execute();
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable("people");
  }
}

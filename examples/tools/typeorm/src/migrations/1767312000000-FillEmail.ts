import { TableColumn, type MigrationInterface, type QueryRunner } from "typeorm";
import { json } from "../dialect";

export class FillEmail1767312000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.addColumns("people", [
      new TableColumn({ name: "email", type: "varchar", length: "254", isNullable: true }),
      new TableColumn({ name: "details", type: json, isNullable: true }),
    ]);
    // Rows, not entities: the entity is what the application needs today, this what there was then.
    const builder = queryRunner.manager.createQueryBuilder();
    const people = builder.select(["id", "name"]).from("people", "people");
    for (const { id, name } of await people.getRawMany()) {
      const email = `${name.toLowerCase().replaceAll(" ", ".")}@example.com`;
      const update = queryRunner.manager.createQueryBuilder().update("people");
      await update.set({ email }).where("id = :id", { id }).execute();
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropColumns("people", ["email", "details"]);
  }
}

"use strict";

module.exports = {
  async up(queryInterface, Sequelize) {
    // PostgreSQL can look into JSONB by an index; MariaDB and MySQL have JSON alone.
    const onPostgres = queryInterface.sequelize.getDialect() === "postgres";
    await queryInterface.createTable("people", {
      id: { type: Sequelize.BIGINT, primaryKey: true, autoIncrement: true },
      name: { type: Sequelize.TEXT, allowNull: false },
      tags: { type: onPostgres ? Sequelize.JSONB : Sequelize.JSON },
    });
    await queryInterface.bulkInsert("people", [{ name: "Ada Lovelace" }, { name: "Grace Hopper" }]);
  },

  async down(queryInterface) {
    await queryInterface.dropTable("people");
  },
};

"use strict";

module.exports = {
  // Sequelize opens no transaction by itself. Where the database can take back a change of the
  // schema (PostgreSQL), one of your own makes the migration whole: all of it, or nothing.
  async up(queryInterface, Sequelize) {
    const { sequelize } = queryInterface;
    await sequelize.transaction(async (transaction) => {
      const email = { type: Sequelize.STRING(254) };
      await queryInterface.addColumn("people", "email", email, { transaction });
      const [people] = await sequelize.query("SELECT id, name FROM people", { transaction });
      for (const { id, name } of people) {
        const address = `${name.toLowerCase().replaceAll(" ", ".")}@example.com`;
        await queryInterface.bulkUpdate("people", { email: address }, { id }, { transaction });
      }
    });
  },

  async down(queryInterface) {
    await queryInterface.removeColumn("people", "email");
  },
};

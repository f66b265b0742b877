"use strict";

const NAME = "people_email_is_unique";

module.exports = {
  async up(queryInterface, Sequelize) {
    await queryInterface.sequelize.transaction(async (transaction) => {
      const email = { type: Sequelize.STRING(254), allowNull: false };
      await queryInterface.changeColumn("people", "email", email, { transaction });
      const unique = { type: "unique", fields: ["email"], name: NAME };
      await queryInterface.addConstraint("people", { ...unique, transaction });
    });
  },

  async down(queryInterface, Sequelize) {
    await queryInterface.sequelize.transaction(async (transaction) => {
      await queryInterface.removeConstraint("people", NAME, { transaction });
      const email = { type: Sequelize.STRING(254), allowNull: true };
      await queryInterface.changeColumn("people", "email", email, { transaction });
    });
  },
};

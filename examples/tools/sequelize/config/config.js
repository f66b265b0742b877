module.exports = {
  development: { dialect: "postgres", host: "127.0.0.1", database: "shop" },
  production: { dialect: "postgres", use_env_variable: "DATABASE_URL" },
};

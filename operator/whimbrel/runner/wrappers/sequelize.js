"use strict";
// Runs inside the user's image as `node -e <text> -- OPTIONS URL_ENV COMMAND [--to NAME]`, where
// OPTIONS is JSON: {args: words for sequelize-cli, table, schema: where the books should stand}.
//
// Never loaded by us: the runner sends its text, with that of node_protocol.js in the place of the
// import. It needs only Node 18 and the project's own sequelize-cli 6, whose migrator does the
// work: .sequelizerc and the configuration are read as ever, and the URL of the environment is put
// over the configuration before the first connection.

const protocol = require("./node_protocol.js");
const { begin, databaseOf, firstLine, givenWords, hear, inspected, ownFrame } = protocol;
const { projectRequire, report, run, serverOf, setBooks, sha256Of, stop, tell } = protocol;
const { relative } = require("path");

const TABLE = "SequelizeMeta";
// For one server Sequelize has two dialects, with a driver each: the project's own is taken.
const DIALECTS = {
  ...{ postgres: ["postgres"], postgresql: ["postgres"] },
  ...{ mariadb: ["mariadb", "mysql"], mysql: ["mysql", "mariadb"] },
};
// Of an entry of the configuration: what the URL says, or what would lead elsewhere.
const ADDRESS = [
  ...["url", "use_env_variable", "username", "password", "database", "host", "port"],
  ...["protocol", "replication", "ssl", "logging"],
];
const ONE_ENTRY = ["dialect", "url", "use_env_variable", "database", "storage"];

/** Load a package of the project, or say that it is missing. */
function load(name, file = name) {
  try {
    return projectRequire(file);
  } catch (error) {
    const isMissing = error.code === "MODULE_NOT_FOUND" && firstLine(error).includes(`'${file}'`);
    if (!isMissing) throw error;
    return stop("PackageMissing", { package: name, directory: process.cwd() });
  }
}

/** Load sequelize-cli with the words that its own program would find. */
function loadCli(args) {
  process.argv = [process.argv[0], "sequelize-cli", "db:migrate", ...args];
  process.env.NODE_ENV ||= "production";
  const Sequelize = load("sequelize");
  load("sequelize-cli", "sequelize-cli/package.json");
  const helpers = projectRequire("sequelize-cli/lib/helpers");
  const cli = { Sequelize: Sequelize.Sequelize ?? Sequelize, helpers: helpers.default ?? helpers };
  // Theirs prints an error's DETAIL, which holds rows, and ends the program.
  cli.helpers.view.error = (error) => {
    throw error instanceof Error ? error : new Error(String(error));
  };
  return cli;
}

/** Return what the configuration says of its environment, without any address. */
async function theirSettings({ config, generic }) {
  const name = config.relativeConfigFile();
  if (!config.configFileExists()) stop("ConfigMissing", { config: name, directory: process.cwd() });
  await config.init();
  if (config.error) throw config.error;
  const all = config.rawConfig ?? {};
  const environment = generic.getEnvironment();
  if (!all[environment] && !ONE_ENTRY.some((each) => each in all)) {
    stop("EnvironmentMissing", { environment, config: name, there: Object.keys(all).join(", ") });
  }
  const chosen = { ...(all[environment] ?? all) };
  for (const each of ADDRESS) delete chosen[each];
  return chosen;
}

/** Return the settings that lead to the database of a URL. */
function settingsFor({ scheme, user, parameters, ...address }, theirs) {
  const { options } = serverOf(scheme);
  const [mine] = DIALECTS[theirs.dialect] ?? [];
  const own = DIALECTS[scheme].find((each) => each === mine);
  // Options for another dialect mean nothing to this one.
  const dialectOptions = options(parameters, own || !theirs.dialect ? theirs.dialectOptions : {});
  const dialect = own ?? DIALECTS[scheme][0];
  return { ...theirs, ...address, username: user, dialect, dialectOptions };
}

/** End where the project keeps its books elsewhere than the runner reads them. */
function refuseOtherBooks({ umzug }, { table = TABLE, schema = "" }) {
  const storage = umzug.getStorage("migration");
  if (storage !== "sequelize") stop("BookkeepingOutside", { storage });
  const theirs = { table: umzug.getTableName("migration"), schema: umzug.getSchema("migration") };
  const isElsewhere = schema && theirs.schema && theirs.schema !== schema;
  if (theirs.table !== table || isElsewhere) {
    stop("BookkeepingElsewhere", { table: theirs.table, schema: theirs.schema ?? "public" });
  }
}

/** Return the project's migrator, which has opened its database or will open none. */
async function openMigrator({ Sequelize, helpers }, options, variable, command) {
  const url = process.env[variable];
  if (!url) stop("UrlMissing", { variable });
  const database = databaseOf(url);
  helpers.config.config = settingsFor(database, await theirSettings(helpers));
  refuseOtherBooks(helpers, options);
  setBooks(helpers.umzug.getTableName("migration"));
  hearStatements(Sequelize, database.parameters.init_command);
  const nothing = async () => undefined;
  if (command === "inspect") {
    Object.assign(Sequelize.prototype, { authenticate: nothing, createSchema: nothing });
  }
  const { getMigrator } = projectRequire("sequelize-cli/lib/core/migrator");
  try {
    return await getMigrator("migration", {});
  } catch (error) {
    const text = firstLine(error);
    if (/^Please install \S+ package manually/.test(text)) stop("DriverMissing", { text });
    throw error;
  }
}

/** Return the migrator's files, oldest first. */
async function filesOf(migrator) {
  try {
    return await migrator._findMigrations();
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return stop("FolderMissing", { folder: migrator.options.migrations.path });
  }
}

/** Tell the project's migrations, newest first, and the newest of all; this loads each file. */
async function inspect(migrator) {
  const files = await filesOf(migrator);
  const told = files.map((each, number) => ({
    id: each.file,
    down: number > 0 ? [files[number - 1].file] : [],
    depends: [],
    file: each.file,
    sha256: sha256Of(each.path),
    downgrade: wayBack(exportsOf(each)),
    atomic: false, // as far as anybody can tell
  }));
  told.reverse().forEach((each) => tell("revision", each));
  inspected({ heads: told.slice(0, 1).map(({ id }) => id) });
}

/** Return what a migration's file exports; one that cannot be loaded ends the program. */
function exportsOf(migration) {
  try {
    return migration.migration();
  } catch (error) {
    return endWith(error, migration);
  }
}

/** Tell an error, of the migration's first line where it names no other of the project, and end. */
function endWith(error, { path }) {
  report(error, { file: relative(process.cwd(), path), line: 1, ...ownFrame(error) });
  process.exit(1);
}

/** Return what a migration's `down` is: Written, Empty, Refuses or Missing. */
function wayBack(exported) {
  const down = exported.default?.down ?? exported.down;
  if (typeof down !== "function") return "Missing";
  const body = bodyOf(String(down).replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "")).trim();
  if (/^(\{\s*)?(throw\b|(return\s+)?Promise\.reject\b)/.test(body)) return "Refuses";
  if (/^(\{\s*return\s+)?Promise\.resolve\(\)[;\s]*\}?$/.test(body)) return "Empty";
  if (!/^\{\s*\}$/.test(body)) return "Written";
  // The migrator fails where it gets no promise.
  return down.constructor.name === "AsyncFunction" ? "Empty" : "Refuses";
}

/** Return a function's text after its parameters. */
function bodyOf(text) {
  const [open, arrow] = [text.indexOf("("), text.indexOf("=>")];
  if (arrow >= 0 && (open < 0 || arrow < open)) return text.slice(arrow + 2);
  let [place, depth] = [open, 0];
  do {
    depth += { "(": 1, ")": -1 }[text[place]] ?? 0;
    place += 1;
  } while (depth > 0 && place < text.length);
  return text.slice(place).replace(/^\s*=>/, "");
}

/** Hear of every statement, whatever the project logs; `first` begins each session. */
function hearStatements(Sequelize, first) {
  const heard = new Set();
  Sequelize.prototype.log = () => undefined; // a project's log shows values
  Sequelize.addHook("afterInit", (sequelize) => {
    // Of MariaDB's drivers; libpq's words do the same for PostgreSQL.
    const ask = (connection) => (connection.promise?.() ?? connection).query(first);
    if (first) sequelize.addHook("afterConnect", ask);
    const query = sequelize.dialect.Query.prototype;
    if (!heard.has(query)) heard.add(query).forEach(listen);
  });
}

/** Tell of each statement of a dialect how it ended. */
function listen(query) {
  const { run: theirs } = query;
  query.run = async function (sql, ...words) {
    const { connection } = this;
    // Sequelize itself marks a connection while a transaction has it.
    const session = connection.uuid ? connection : null;
    try {
      const result = await theirs.call(this, sql, ...words);
      hear(session, sql);
      return result;
    } catch (error) {
      hear(session, sql, error);
      throw error;
    }
  };
}

/** Carry out migrations one by one; a stop comes between two of them. */
async function carryOut(migrator, migrations, method) {
  let stopping = false;
  process.on("SIGTERM", () => (stopping = true));
  begin("");
  migrator.on(method === "up" ? "migrating" : "reverting", (_name, { file }) => begin(file));
  for (const each of migrations) {
    if (stopping) stop("Stopped", { migration: each.file });
    await migrator[method]([each.file]).catch((error) => endWith(error, each));
    begin("");
  }
}

/** Do what a command asks for; `--to` and `--name` name a whole file. */
async function work(migrator, command, goal) {
  const files = await filesOf(migrator);
  const place = files.findIndex(({ file }) => file === goal);
  // sequelize-cli says that all is up to date, and ends well.
  if (goal && place < 0) stop("MigrationUnknown", { name: goal });
  const executed = (await migrator.executed()).map(({ file }) => file);
  const [first, last] = goal ? [place, place] : [0, files.length - 1];
  const pending = files.slice(0, last + 1).filter(({ file }) => !executed.includes(file));
  const back = files.slice(first).filter(({ file }) => executed.includes(file)).reverse();
  if (command === "db:migrate") return carryOut(migrator, pending, "up");
  if (command === "db:migrate:undo:all") return carryOut(migrator, back, "down");
  if (command === "db:migrate:undo") return carryOut(migrator, [files[place]], "down");
  // A baseline: by one statement, so never a part of it.
  const { model, columnName } = migrator.storage;
  return model.bulkCreate(pending.map(({ file }) => ({ [columnName]: file })));
}

run(async () => {
  begin(""); // what fails before a migration is at work has left nothing
  const [options, variable, command, , goal = ""] = givenWords();
  const chosen = JSON.parse(options);
  const migrator = await openMigrator(loadCli(chosen.args), chosen, variable, command);
  if (command === "inspect") return inspect(migrator);
  await work(migrator, command, goal);
  return tell("finished");
});

"use strict";
// Runs inside the user's image as `node -e <text> -- OPTIONS URL_ENV COMMAND [--to NAME]`, where
// OPTIONS is JSON: {args: words for sequelize-cli, table, schema: where the books should stand}.
//
// Never loaded by us: the runner sends its text, with that of node_protocol.js in the place of the
// import. It needs only Node 18 and the project's own sequelize-cli 6, whose migrator does the
// work: .sequelizerc and the configuration are read as ever, and the URL of the environment is put
// over the configuration before the first connection.

const protocol = require("./node_protocol.js");
const { databaseOf, firstLine, givenWords, inspected, ownFrame, postgresOptions } = protocol;
const { projectRequire, report, run, sha256Of, stop, tell, withoutValues } = protocol;
const { relative } = require("path");

const TABLE = "SequelizeMeta";
const SHOWN = 20; // different statements of one migration that are told
const DIALECTS = { postgres: "postgres", postgresql: "postgres" };
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
function settingsFor(url, theirs) {
  const { scheme, user, parameters, ...address } = databaseOf(url);
  const dialect = DIALECTS[scheme];
  if (!dialect) stop("SchemeUnknown", { scheme });
  // Options for another dialect mean nothing to this one.
  const isSame = !theirs.dialect || DIALECTS[theirs.dialect] === dialect;
  const dialectOptions = postgresOptions(parameters, isSame ? theirs.dialectOptions : {});
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
  helpers.config.config = settingsFor(url, await theirSettings(helpers));
  refuseOtherBooks(helpers, options);
  heard.books = helpers.umzug.getTableName("migration");
  hearStatements(Sequelize);
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

const heard = { migration: "", told: new Set(), waiting: new Map(), last: "", books: "" };

/** Hear of every statement that was carried out, whatever the project logs, and show no value. */
function hearStatements(Sequelize) {
  Sequelize.addHook("beforeInit", (_config, options) => {
    Object.assign(options, { benchmark: true, logQueryParameters: false });
  });
  Sequelize.prototype.log = (message) => {
    const found = /^Executed \(([^)]*)\): ([^]*)$/.exec(String(message));
    if (found && heard.migration) hear(found[1], found[2].replace(/;?\s\[[^]*$/, ""));
  };
}

/** Note a statement: by itself it stays, in a transaction of the author's with its COMMIT. */
function hear(transaction, sql) {
  if (/^\s*(commit|rollback)\s*;?\s*$/i.test(sql)) {
    const ended = heard.waiting.get(transaction) ?? [];
    heard.waiting.delete(transaction);
    return /commit/i.test(sql) ? ended.forEach(stays) : undefined;
  }
  if (/^\s*(select|show|set|explain|start|begin|savepoint|rollback|release)\b/i.test(sql)) return;
  if (sql.includes(heard.books)) return;
  const words = withoutValues(sql);
  if (words !== heard.last) process.stderr.write(`${heard.migration}: ${words}\n`);
  heard.last = words;
  if (transaction === "default") return stays(words);
  heard.waiting.set(transaction, new Set(heard.waiting.get(transaction)).add(words));
}

/** Tell that a statement stays, whatever becomes of its migration. */
function stays(statement) {
  if (heard.told.has(statement) || heard.told.size >= SHOWN) return;
  heard.told.add(statement);
  tell("stays", { migration: heard.migration, statement });
}

/** Begin with a migration, or with "" where none is at work and the last one is whole. */
function begin(migration) {
  Object.assign(heard, { migration, told: new Set(), waiting: new Map(), last: "" });
  if (!migration) tell("whole");
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
  const [options, variable, command, , goal = ""] = givenWords();
  const chosen = JSON.parse(options);
  const migrator = await openMigrator(loadCli(chosen.args), chosen, variable, command);
  if (command === "inspect") return inspect(migrator);
  await work(migrator, command, goal);
  return tell("finished");
});

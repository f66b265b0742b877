"use strict";
// Runs inside the user's image as `node ... -- DATA_SOURCE SCHEMA TABLE URL_ENV COMMAND [WORD ...]`
//
// Never loaded by us: the runner sends its text, with that of node_protocol.js in the place of the
// `require` below. It needs only the image's own TypeORM (0.3 or 1), takes the project's DataSource
// as it is, and puts the URL of the environment and our limits over it before it connects.

const protocol = require("./node_protocol.js");
const { atWork, begin, beginningWith, databaseOf, firstLine, givenWords, hear, report } = protocol;
const { inspected, ownFrame, projectRequire, run, serverOf, setBooks, sha256Of } = protocol;
const { stop, tell } = protocol;
const { existsSync } = require("fs");
const { Session } = require("inspector");
const { relative, resolve } = require("path");
const { fileURLToPath, pathToFileURL } = require("url");

// TypeORM calls a migration through many functions; the author's line comes after them.
Error.stackTraceLimit = 50;

const MYSQL = ' ("mysql" writes wrong defaults on MariaDB, and cannot take its changes back)';
const BASE = "base";
const HERE = { directory: process.cwd() };
const SEEN = "whimbrel: seen by V8"; // a name that no project has

// Its own loggers show the values of rows; an error's statement is told by `report`.
const silent = () => {};
const LOGGER = {
  ...{ logQuery: silent, logQueryError: silent, logQuerySlow: silent, logMigration: silent },
  logSchemaBuild: (text) => /^Migration .* successfully\.$/.test(text) && console.log(text),
  log: (level, message) => level === "warn" && console.error(firstLine(message)),
};

let running; // the migration that is at work

/** Return the project's data source; it has not been opened. */
async function dataSourceIn(name) {
  const file = resolve(name);
  if (!existsSync(file)) stop("DataSourceMissing", { file: name, ...HERE });
  const found = new Set();
  const module = await load(file, name);
  // A CommonJS one that was imported as an ES module has what it exports as its default.
  for (const each of [module, ...Object.values(module), ...Object.values(module.default ?? {})]) {
    const value = await each; // a factory's promise
    if (value?.["@instanceof"] === Symbol.for("DataSource")) found.add(value);
  }
  const [source, another] = found;
  if (!source) stop("NotADataSource", { file: name });
  if (another) stop("SeveralDataSources", { file: name });
  if (source.isInitialized) stop("DataSourceOpened", { file: name });
  return source;
}

async function load(file, name) {
  const isTypeScript = /\.[cm]?ts$/.test(file);
  try {
    return await (isTypeScript && hasTsNode() ? projectRequire(file) : import(pathToFileURL(file)));
  } catch (error) {
    const text = firstLine(error);
    if (/^Cannot find (module|package) 'typeorm'/.test(text)) stop("TypeormMissing", HERE);
    if (error?.name === "DriverPackageNotInstalledError") stop("DriverMissing", { text });
    if (error?.code === "ERR_UNKNOWN_FILE_EXTENSION") stop("TypeScriptSource", { file: name });
    throw error;
  }
}

/** Let `require` read TypeScript; false where the image has nothing for that. */
function hasTsNode() {
  try {
    return Boolean(projectRequire("ts-node/register"));
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND") return false;
    throw error;
  }
}

/** Put the URL and our limits over the data source, and switch off what else it would do. */
function take(source, url, schema, table) {
  const { scheme, host, port, user, password, database, parameters } = databaseOf(url);
  const { options, name: wanted } = serverOf(scheme.split("+")[0]);
  const { type, migrationsTableName = "migrations", schema: ownSchema } = source.options;
  if (type !== wanted) stop("TypeWrong", { type, wanted, why: type === "mysql" ? MYSQL : "" });
  if (migrationsTableName !== table || (schema && ownSchema && schema !== ownSchema)) {
    const place = [ownSchema, migrationsTableName].filter(Boolean).join(".");
    stop("BookkeepingElsewhere", { place });
  }
  source.setOptions({
    ...{ url: undefined, socketPath: undefined, host, port, username: user, password, database },
    extra: options(parameters, source.options.extra),
    ...{ replication: undefined, cache: false, subscribers: [] },
    ...{ synchronize: false, migrationsRun: false, dropSchema: false },
    ...{ logging: false, logger: LOGGER },
  });
  // Made from the options when the data source was made.
  Object.assign(source.driver, { isReplicated: false, database });
  source.queryResultCache = undefined;
  setBooks(source.driver.escape(table));
  if (source.driver.mysql) source.driver.mysql = beginningWith(parameters, source.driver.mysql);
}

/** Return the project's migrations in the order in which TypeORM runs them. */
function migrationsOf(source) {
  const all = source.migrations.map((instance) => {
    const name = instance.name || instance.constructor.name;
    const timestamp = parseInt(name.slice(-13), 10);
    if (!timestamp) stop("NameWrong", { name });
    return { name, timestamp, instance };
  });
  const names = all.map(({ name }) => name);
  const twice = names.find((name, place) => names.indexOf(name) < place);
  if (twice) stop("DuplicateMigration", { name: twice });
  return all.sort((one, other) => one.timestamp - other.timestamp);
}

/** Tell the project's migrations, newest first; opens no connection. */
async function inspect(source, name) {
  source.setOptions({ entities: [] }); // some can only be read once the server's version is known
  await source.buildMetadatas();
  const all = migrationsOf(source);
  if (all.length === 0) stop("NoMigrations", { file: name });
  const places = placesOf(all.map(({ instance }) => instance.constructor));
  for (let number = all.length - 1; number >= 0; number--) {
    const [{ name: id, instance }, { file }] = [all[number], places[number]];
    const down = number ? [all[number - 1].name] : [];
    const known = { downgrade: wayBack(instance.down), atomic: instance.transaction !== false };
    tell("revision", { id, down, depends: [], file, sha256: sha256Of(file), ...known });
  }
  inspected({ heads: [all[all.length - 1].name] });
}

/** Return file and line of each class: V8 knows, whatever loaded it. */
function placesOf(classes) {
  const session = new Session();
  const scripts = new Map();
  const ask = (method, words) => {
    let answer;
    session.post(method, words, (error, told) => (answer = told)); // it answers before it returns
    return answer;
  };
  session.connect();
  session.on("Debugger.scriptParsed", ({ params }) => scripts.set(params.scriptId, params.url));
  ask("Debugger.enable");
  globalThis[SEEN] = classes;
  const places = classes.map((_, number) => {
    const { result } = ask("Runtime.evaluate", { expression: `globalThis["${SEEN}"][${number}]` });
    const { internalProperties } = ask("Runtime.getProperties", { objectId: result.objectId });
    const at = internalProperties.find(({ name }) => name === "[[FunctionLocation]]").value.value;
    const url = scripts.get(at.scriptId);
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    return { file: relative(process.cwd(), file), line: at.lineNumber + 1 };
  });
  delete globalThis[SEEN];
  session.disconnect();
  return places;
}

/** Return what the author wrote as the way back, as far as its text tells. */
function wayBack(down) {
  if (typeof down !== "function") return "Missing";
  const text = String(down).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  // For targets before ES2017 TypeScript puts the body into a generator.
  const compiled = /^\s*return __awaiter\([^{]*\{([\s\S]*)\}\);\s*$/;
  const outer = /^[^{]*\{([\s\S]*)\}\s*$/.exec(text)?.[1] ?? text;
  const body = (compiled.exec(outer)?.[1] ?? outer).trim();
  if (body === "") return "Empty";
  return /^(throw\b|return Promise\.reject\()/.test(body) ? "Refuses" : "Written";
}

/** Open the data source and return its migrations up to one, or all; they say when they work. */
async function open(source, to) {
  await source.initialize();
  const afterQuery = ({ queryRunner, query, error }) => hear(queryRunner, query, error);
  source.subscribers.push({ afterQuery });
  begin("");
  const all = migrationsOf(source);
  for (const { name, instance } of all) {
    for (const direction of ["up", "down"]) {
      const theirs = instance[direction];
      instance[direction] = atWork(name, (...words) => theirs.apply((running = instance), words));
    }
  }
  const last = to ? all.findIndex(({ name }) => name === to) : all.length;
  return all.slice(0, last + 1);
}

/** Run what is pending up to a migration, or all; each in a transaction of its own. */
async function up(source, to) {
  source.migrations = (await open(source, to)).map(({ instance }) => instance);
  await source.runMigrations({ transaction: "each" });
}

/** Write down as applied, all or none, without running anything. */
async function adopt(source, to) {
  source.migrations = (await open(source, to)).map(({ name }) => ({ name }));
  await source.runMigrations({ transaction: "all", fake: true });
}

/** Take back what was applied last, again and again, until `to` was. */
async function back(source, to) {
  const known = new Map((await open(source)).map((each) => [each.name, each]));
  const rows = await applied(source);
  const end = to === BASE ? rows.length : rows.findIndex(({ name }) => name === to);
  if (end < 0) throw new Error(`${to} is not applied`);
  for (const { name, timestamp } of rows.slice(0, end)) {
    const { instance, timestamp: own } = known.get(name) ?? {};
    // TypeORM would run `down`, delete no row, and say nothing.
    if (own && own !== Number(timestamp)) stop("TimestampWrong", { name, timestamp });
    // It asks no migration whether it wants a transaction on the way back.
    const transaction = instance?.transaction === false ? "none" : "each";
    await source.undoLastMigration({ transaction });
  }
}

/** Return the rows of TypeORM's own table, the newest first. */
async function applied(source) {
  const { migrationsTableName: table = "migrations" } = source.options;
  const path = source.driver.buildTableName(table, source.options.schema, source.driver.database);
  const builder = source.manager.createQueryBuilder().select();
  return builder.orderBy(source.driver.escape("id"), "DESC").from(path, table).getRawMany();
}

/** Do the one thing that the words ask for. */
async function work() {
  begin(""); // what fails before a migration is at work has left nothing
  const [name, schema, table, variable, command, ...words] = givenWords();
  const source = await dataSourceIn(name);
  take(source, process.env[variable] ?? "", schema, table);
  const to = words.at(-2) === "--to" ? words.at(-1) : "";
  try {
    if (command === "inspect") await inspect(source, name);
    else if (command === "migration:revert") await back(source, to);
    else await (words.includes("--fake") ? adopt : up)(source, to);
  } catch (error) {
    // What fails at COMMIT has no line of the author's.
    const place = running && !ownFrame(error).file ? placesOf([running.constructor])[0] : {};
    report(error, place);
    process.exit(1);
  }
}

run(work);

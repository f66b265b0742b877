"use strict";
// What the wrappers of all tools written in Node share; its text stands in front of theirs, in one
// function, so that the project's own modules see none of these names.
//
// It runs inside the user's image as `node --input-type=commonjs -e <text> -- WORD ...`, needs only
// Node 18, and no package. Lines that begin with MARK and hold JSON are for the runner; all other
// lines are the project's.

// First: it watches what is read from here on.
const { looks, nameFile } = require("./node_look.js");
const fs = require("fs");
const path = require("path");
const { createHash } = require("crypto");
const { createRequire } = require("module");
const { fileURLToPath } = require("url");

const MARK = "@whimbrel ";
const LOOKS_IN_A_LINE = 100;
const PIECE = 5000; // characters, of at most 6 bytes as JSON: the runner cuts a line over 40 kB
const SHOWN = 500; // characters of an error
const STATEMENT = 200; // characters of a statement
// A driver sends these beside PGOPTIONS, and the server takes them in its place.
const LIMITS = ["application_name", "lock_timeout", "idle_in_transaction_session_timeout"];
// Each would lead elsewhere than the URL.
const ADDRESS = ["connectionString", "uri", "host", "port", "user", "password", "database"];
const SOCKETS = ["socketPath", "stream"];
const TOLD = 20; // different statements of one migration
// Errors of MariaDB that quote a row or the author's text; 1064 is one of its parser.
const QUOTING = [1062, 1064, 1292, 1366, 1411, 1525, 1690, 4025];
// PostgreSQL's data exceptions (class 22) quote a value, or name it behind a colon: all from there
// on goes, but for what these words introduce, and for an end that says what is wrong with it.
const NAMES = /(?:column|encoding|parameter|sequence) "[^"]*"|(?:nextval|expression): /;
const WRONG =
  /(?<=")(?: is| in source string is)? (?:out of range|not (?:recognized|a valid))[^"]*/;
const VALUE = new RegExp(
  `^(?=((?:${NAMES.source}|:(?! )|[^:"«»„“])*))\\1(: |).+?(${WRONG.source})?$`,
  "s",
);
// Text for a tsquery or tsvector (42601, 54000), and literals where the syntax is wrong.
const LITERAL = /(?:(?<=: )["«»„“]|["«»„“]\s?(?:\w*&?'|\$\w*\$|\d)).*/s;

// The working directory's packages, and never those beside us: we are nowhere.
const projectRequire = createRequire(path.join(process.cwd(), "project.js"));

/** Write text to a descriptor before anything else happens: `process.exit` waits for no stream. */
function writeNow(descriptor, text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(descriptor, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Write one line for the runner. */
function tell(kind, words = {}) {
  writeNow(1, `\n${MARK}${JSON.stringify({ kind, ...words })}\n`);
}

/** Tell the end of `inspect`, and what it has read besides the working directory. */
function inspected(words) {
  const { found, doubt } = looks();
  for (let start = 0; start < found.length; start += LOOKS_IN_A_LINE) {
    const some = found.slice(start, start + LOOKS_IN_A_LINE);
    const of = (kind) => some.filter((each) => each[0] === kind).map(([, name]) => name);
    tell("look", { files: of("f"), folders: of("n") });
  }
  tell("inspected", { ...words, looks: Math.ceil(found.length / LOOKS_IN_A_LINE) || null, doubt });
}

/** Name the problem and end. */
function stop(reason, words = {}) {
  tell("problem", { reason, ...words });
  process.exit(1);
}

/** Return the driver's own error, which libraries wrap in theirs. */
function driverError(error) {
  return error?.original ?? error?.parent ?? error?.driverError ?? error;
}

/** Return all errors that one error stands for, the outermost first. */
function chain(error) {
  const found = [];
  const waiting = [error];
  while (waiting.length > 0 && found.length < 20) {
    const each = waiting.shift();
    if (each && typeof each === "object" && !found.includes(each)) {
      found.push(each);
      waiting.push(each.original, each.parent, each.driverError, each.cause);
    }
  }
  return found;
}

/** Return the first line: the others may hold rows or parameters. */
function firstLine(error) {
  const inner = driverError(error);
  const words = [withoutRow(inner), inner?.errors?.[0]?.message, inner?.code, inner?.name];
  const text = typeof inner === "object" ? words.find(Boolean) : inner;
  // TypeScript says on the second line what the first one announces.
  const [first, second = ""] = String(text ?? "an error without words").split(/\r?\n/);
  const announced = /TypeScript:$/.test(first) ? ` ${second}` : "";
  return (first + announced).slice(0, SHOWN);
}

/** Return the words of an error without what a server quotes in them of a row. */
function withoutRow(error) {
  const message = error?.message;
  if (!message) return message;
  if (QUOTING.includes(error.errno)) return unquoted(message);
  if (/^(42601|54000)$/.test(error.code)) return message.replace(LITERAL, "…");
  return /^22...$/.test(error.code) ? message.replace(VALUE, "$1$2…$3") : message;
}

/** Return words of MariaDB without what they quote; the name of a key stays. */
function unquoted(message) {
  const before = /(?<=[\w:] )'[^]*'(?= (?:for|in|at line) )/;
  return String(message).replace(before.test(message) ? before : /'[^]*'/, "'…'");
}

/** Return the digest of a file, in hex; first tell its text if it holds the ledger's name. */
function sha256Of(file) {
  nameFile(file);
  const found = fs.readFileSync(file);
  const sha256 = createHash("sha256").update(found).digest("hex");
  const ledger = (process.env.WHIMBREL_LEDGER || "").toLowerCase();
  const text = String(found);
  if (!ledger || !text.toLowerCase().includes(ledger)) return sha256;
  for (let start = 0; start < text.length; start += PIECE) {
    tell("text", { sha256, start, text: text.slice(start, start + PIECE) });
  }
  return sha256;
}

/** Return file and line of each frame of a stack, the innermost first. */
function framesOf(error) {
  const lines = String(error?.stack ?? "").split("\n");
  const place = /^\s+at .*?\(?((?:file:\/\/)?\/[^()]*):(\d+):\d+\)?$/;
  const frames = lines.map((line) => place.exec(line));
  // A file that cannot be read as JavaScript is named above everything else.
  const isBroken = error instanceof SyntaxError;
  const broken = isBroken ? /^((?:file:\/\/)?\/.*):(\d+)$/.exec(lines[0]) : null;
  return [broken, ...frames].filter(Boolean).map(([, file, line]) => ({
    file: file.startsWith("file://") ? fileURLToPath(file) : file,
    line: Number(line),
  }));
}

/** Return file and line of the innermost frame that belongs to the project, or {}. */
function ownFrame(error) {
  const packages = `${path.sep}node_modules${path.sep}`;
  const isOwn = ({ file }) => !file.includes(packages) && fs.existsSync(file);
  const frame = chain(error).flatMap(framesOf).find(isOwn);
  return frame ? { file: path.relative(process.cwd(), frame.file), line: frame.line } : {};
}

/** Return what the database's driver says, or "". */
function sqlstateOf(error) {
  for (const each of chain(error)) {
    // MariaDB's numbers tell more than its SQLSTATE.
    if (typeof each.sqlState === "string") return String(each.errno ?? each.sqlState);
    // The system's own codes (EPIPE) look alike, but come from a call of the system.
    if (/^(?=.*\d)[0-9A-Z]{5}$/.test(each.code ?? "") && !each.syscall) return each.code;
  }
  return "";
}

/** Return the beginning of a statement, up to its first value: that may be a row's. */
function withoutValues(sql) {
  const text = String(sql).replace(/^Executing \([^)]*\): /, "").split(/\s+/).join(" ").trim();
  const isDefinition = /^(create|alter|drop|rename|truncate|comment|grant|revoke)\b/i.test(text);
  const isOne = !/;\s*\S/.test(text);
  const value = isDefinition && isOne ? /'|\$\w*\$/ : /'|\$\w*\$|(?<![\w"`.$])\d/;
  // What PostgreSQL takes for a name, MariaDB takes for a value.
  const quoted = heard.server === MARIADB ? text.indexOf('"') : -1;
  const ends = [text.search(value), quoted].filter((place) => place >= 0);
  const end = ends.length > 0 ? Math.min(...ends) : -1;
  const shown = end < 0 ? text : `${text.slice(0, end)}…`;
  return shown.slice(0, STATEMENT);
}

/** Return the statement that failed, without values, or "". */
function statementOf(error) {
  const words = chain(error).flatMap((each) => [each.sql, each.query]);
  const sql = words.find((each) => typeof each === "string" && each.trim());
  return sql ? withoutValues(sql) : "";
}

/** Say what ended the program, without the values that libraries put into their messages. */
function report(error, words = {}) {
  const frames = String(error?.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const name = error?.name ?? "Error";
  const reason = name === "Error" && typeof error?.code === "string" ? error.code : name;
  writeNow(2, [`${reason}: ${firstLine(error)}`, ...frames, ""].join("\n"));
  tell("problem", {
    reason,
    text: firstLine(error),
    sqlstate: sqlstateOf(error),
    statement: statementOf(error),
    ...ownFrame(error),
    ...words,
  });
}

function reportAndEnd(error) {
  report(error);
  process.exit(1);
}

/** Do the work, then end: pools of the project would keep the program alive. */
function run(work) {
  process.on("uncaughtException", reportAndEnd);
  process.on("unhandledRejection", reportAndEnd);
  Promise.resolve()
    .then(work)
    .then(() => process.exit(0), reportAndEnd);
}

/** Return the words after the text. */
function givenWords() {
  return process.argv.slice(1);
}

/** Return what a URL says, decoded; one without a host names it among its parameters. */
function databaseOf(url) {
  const parts = new URL(url.replace("@/", "@-/"));
  const { host = "", port = "", ...parameters } = Object.fromEntries(parts.searchParams);
  const named = parts.hostname === "-" ? "" : parts.hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    scheme: parts.protocol.slice(0, -1),
    host: host || decodeURIComponent(named),
    port: Number(port || parts.port) || undefined,
    user: decodeURIComponent(parts.username),
    password: decodeURIComponent(parts.password),
    database: decodeURIComponent(parts.pathname.slice(1)),
    parameters,
  };
}

/** Return the drivers' `ssl` for libpq's words; undefined where they leave it open. */
function tlsOf({ sslmode, sslrootcert }) {
  const ca = sslrootcert ? { ca: fs.readFileSync(sslrootcert, "utf8") } : {};
  const anyName = { ...ca, checkServerIdentity: () => undefined };
  switch (sslmode) {
    case "disable":
      return false;
    case "require":
      return sslrootcert ? anyName : { rejectUnauthorized: false };
    case "verify-ca":
      return anyName;
    case "verify-full":
      return { ...ca, verifyIdentity: true }; // mysql2 checks no name unless it is asked to
    default: // prefer, allow: the drivers cannot try both
      return undefined;
  }
}

/** Return a driver's options without some, and with ours where they say something. */
function mixed(theirs, leftOut, ours) {
  const kept = Object.entries(theirs).filter(([name]) => !leftOut.includes(name));
  const said = Object.entries(ours).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries([...kept, ...said]);
}

/** Return node-postgres's options: the project's own, under the URL's address and our limits. */
function postgresOptions(parameters, theirs = {}) {
  const ours = parameters.options ?? process.env.PGOPTIONS;
  return mixed(theirs, [...ADDRESS, ...LIMITS, "options"], {
    ssl: tlsOf(parameters),
    application_name: parameters.application_name ?? process.env.PGAPPNAME,
    // Of two values the server takes the last.
    options: [theirs.options, ours].filter((each) => each && typeof each === "string").join(" "),
  });
}

/** Return the options of mysql2 and mariadb: the project's own, under the URL's address. */
function mariadbOptions(parameters, theirs = {}) {
  return mixed({ connectTimeout: 10_000, ...theirs }, [...ADDRESS, ...SOCKETS], {
    ssl: tlsOf(parameters),
    socketPath: parameters.unix_socket,
  });
}

const POSTGRESQL = { name: "postgres", options: postgresOptions, commits: false };
const MARIADB = { name: "mariadb", options: mariadbOptions, commits: true };
const SERVERS = { postgres: POSTGRESQL, postgresql: POSTGRESQL, mysql: MARIADB, mariadb: MARIADB };

// What has been carried out of the migration at work; `waiting` holds the open transactions.
const heard = {
  ...{ migration: "", returned: false, recorded: undefined, books: "", server: POSTGRESQL },
  ...{ told: new Set(), waiting: new Map(), last: "" },
};

/** Return what differs between servers: its name, a driver's options, whether DDL commits. */
function serverOf(scheme) {
  heard.server = SERVERS[scheme] ?? stop("SchemeUnknown", { scheme });
  return heard.server;
}

/** Return a statement without comments in front of it. */
function bare(sql) {
  return sql.replace(/^(\s|\/\*[^]*?\*\/|--.*\n|#.*\n)+/, "");
}

/** Tell whether a statement commits what was before it, and itself, also when it fails. */
function commits(text) {
  if (!heard.server.commits) return /^(?!create\b)[^]*;\s*commit\b/i.test(text);
  const definition =
    /(?:^|;)\s*(create|alter|drop|rename|truncate|grant|revoke|call|analyze|optimize|lock)\b/i;
  const temporary = /^(create|drop)\s+(or\s+replace\s+)?temporary\b/i;
  return definition.test(text) && !temporary.test(text);
}

/**
 * Hear of the end of a statement, and show it without values: by itself it stays, in a transaction
 * with the COMMIT.
 *
 * @param session - Whatever is the same for all statements of a transaction, or null for none.
 * @param error - Why it failed; undefined where it was carried out.
 */
function hear(session, sql, error) {
  const text = bare(sql);
  if (error) return hearFailure(session, text, error);
  if (/^(commit|rollback)\s*;?\s*$/i.test(text)) return ended(session, /^commit/i.test(text));
  if (/^(start\s+transaction|begin)\b[^;]*;?\s*$/i.test(text)) {
    return session ? heard.waiting.set(session, new Set()) : undefined;
  }
  if (reads(text)) return;
  if (heard.books && text.includes(heard.books)) return recorded(session);
  if (!heard.migration) return;
  const words = withoutValues(text);
  if (words !== heard.last) process.stderr.write(`${heard.migration}: ${words}\n`);
  heard.last = words;
  if (commits(text)) ended(session, true);
  const open = heard.waiting.get(session);
  return open ? open.add(words) : stays(words);
}

/** Tell whether a statement only reads; in PostgreSQL a `SELECT refill()` of an author may not. */
function reads(text) {
  const one = /^(select|show|set|explain|savepoint|rollback|release)\b[^;]*;?\s*$/i;
  const name = /^select\s+(?:\*\s+from\s+)?([\w."]+)\s*\(/i.exec(text)?.[1] ?? "now";
  const servers =
    /^(count|min|max|sum|avg|exists|coalesce|now|version|set_config|(pg|current)_\w+)\b/i;
  return one.test(text) && (heard.server.commits || servers.test(name));
}

/** Hear of a statement that failed; a typing error (1064) is found before anything is committed. */
function hearFailure(session, text, error) {
  if (commits(text) && !chain(error).some(({ errno }) => errno === 1064)) ended(session, true);
  // In PostgreSQL they may have committed a part.
  const inParts = commits(text) || /^(call|do)\b/i.test(text);
  if (!heard.server.commits && inParts && !heard.waiting.has(session)) stays(withoutValues(text));
}

/** Note the end of a transaction. */
function ended(session, isCommitted) {
  const statements = heard.waiting.get(session) ?? [];
  heard.waiting.delete(session);
  if (isCommitted && heard.recorded === session) return begin("");
  return isCommitted ? statements.forEach(stays) : undefined;
}

/** Note that the tool has written down a migration whose function has returned: it is whole. */
function recorded(session) {
  if (!heard.returned) return;
  if (heard.waiting.has(session)) heard.recorded = session;
  else begin("");
}

/** Return the function of a migration, which now says when it begins and has returned. */
function atWork(migration, work) {
  return async (...words) => {
    begin(migration);
    await work(...words);
    heard.returned = true;
  };
}

/** Return mysql2 with pools each session of which begins with our statement. */
function beginningWith({ init_command: statement }, mysql) {
  const end = (error) => error && setImmediate(reportAndEnd, error);
  const bound = (pool) => pool.on("connection", (each) => each.query(statement, end));
  const createPool = (...words) => bound(mysql.createPool(...words));
  return statement ? Object.create(mysql, { createPool: { value: createPool } }) : mysql;
}

/** Tell that a statement stays, whatever becomes of its migration. */
function stays(statement) {
  if (!heard.migration || heard.told.has(statement) || heard.told.size >= TOLD) return;
  heard.told.add(statement);
  tell("stays", { migration: heard.migration, statement });
}

/** Begin with a migration, or with "" where none is at work; the one before is whole. */
function begin(migration) {
  const none = { told: new Set(), last: "", returned: false, recorded: undefined };
  Object.assign(heard, { migration, ...none });
  heard.waiting.forEach((statements) => statements.clear());
  tell("whole");
}

/** Say how the tool writes its own table, whose rows belong to no migration. */
function setBooks(name) {
  heard.books = name;
}

module.exports = {
  atWork,
  begin,
  beginningWith,
  databaseOf,
  firstLine,
  givenWords,
  hear,
  inspected,
  ownFrame,
  projectRequire,
  report,
  run,
  serverOf,
  setBooks,
  sha256Of,
  sqlstateOf,
  statementOf,
  stop,
  tell,
  withoutValues,
};

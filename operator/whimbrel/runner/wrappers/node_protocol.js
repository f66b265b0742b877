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
const SHOWN = 500; // characters of an error
const STATEMENT = 200; // characters of a statement
// A driver sends these beside PGOPTIONS, and the server takes them in its place.
const LIMITS = ["application_name", "lock_timeout", "idle_in_transaction_session_timeout"];

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
  const words = [inner?.message, inner?.errors?.[0]?.message, inner?.code, inner?.name];
  const text = typeof inner === "object" ? words.find(Boolean) : inner;
  // TypeScript says on the second line what the first one announces.
  const [first, second = ""] = String(text ?? "an error without words").split(/\r?\n/);
  const announced = /TypeScript:$/.test(first) ? ` ${second}` : "";
  return (first + announced).slice(0, SHOWN);
}

/** Return the digest of a file, in hex. */
function sha256Of(file) {
  nameFile(file);
  return createHash("sha256").update(fs.readFileSync(file)).digest("hex");
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
    if (typeof each.sqlState === "string") return each.sqlState;
    // The system's own codes (EPIPE) look alike, but come from a call of the system.
    if (/^(?=.*\d)[0-9A-Z]{5}$/.test(each.code ?? "") && !each.syscall) return each.code;
  }
  return "";
}

/** Return the beginning of a statement, up to its first value: that may be a row's. */
function withoutValues(sql) {
  const text = String(sql).replace(/^Executing \([^)]*\): /, "").split(/\s+/).join(" ").trim();
  const isDefinition = /^(create|alter|drop|rename|truncate|comment|grant|revoke)\b/i.test(text);
  const value = isDefinition ? /'|\$\w*\$/ : /'|\$\w*\$|(?<![\w".$])\d/;
  const end = text.search(value);
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

/** Return node-postgres's `ssl` for libpq's words; undefined where they leave it open. */
function postgresTls({ sslmode, sslrootcert }) {
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
      return ca;
    default: // prefer, allow: node-postgres cannot try both
      return undefined;
  }
}

/** Return node-postgres's options: the project's own, under the URL's address and our limits. */
function postgresOptions(parameters, theirs = {}) {
  const { options, ...kept } = theirs;
  for (const name of LIMITS) delete kept[name];
  const ours = parameters.options ?? process.env.PGOPTIONS;
  const mine = {
    ssl: postgresTls(parameters),
    application_name: parameters.application_name ?? process.env.PGAPPNAME,
    // Of two values the server takes the last.
    options: [options, ours].filter((each) => each && typeof each === "string").join(" "),
  };
  const said = Object.entries(mine).filter(([, value]) => value !== undefined && value !== "");
  return { ...kept, ...Object.fromEntries(said) };
}

module.exports = {
  databaseOf,
  firstLine,
  givenWords,
  inspected,
  ownFrame,
  postgresOptions,
  projectRequire,
  report,
  run,
  sha256Of,
  sqlstateOf,
  statementOf,
  stop,
  tell,
  withoutValues,
};

"use strict";
// What an `inspect` in Node reads, remembered from its start: as long as nothing of it changes, the
// next one would say the same and is not started. Where that cannot be known there is a doubt.
//
// Its text stands in node_protocol.js in the place of the import; Node 18 and newer.

const children = require("child_process");
const fs = require("fs");
const Module = require("module");
const path = require("path");
const threads = require("worker_threads");
const { fileURLToPath } = require("url");

const HERE = process.cwd();
const PASSED_OVER = new Set([".git", "__pycache__", "node_modules"]); // by the launcher
const MOST = 2000; // paths

// Files, folders, files whose digest is told, and what `require` looks for, also in vain.
const seen = { read: new Set(), listed: new Set(), named: new Set(), lookups: [], doubt: "" };
// Before any module of the project can take one of these functions for its own.
if (process.argv.includes("inspect")) watch();

/** Remember what is read from now on. */
function watch() {
  const notes = [
    [/^(l?stat|access|copyFile|exists|openAsBlob|readFile|readlink|realpath)(Sync)?$/, noteRead],
    [/^open(Sync)?$/, (file, flags) => isWritten(flags) || noteRead(file)],
    [/^(readdir|opendir)(Sync)?$/, noteListed],
    [/^(cp|glob)(Sync)?$/, () => doubt("it reads many files at once")],
  ];
  notice(fs.realpath, "native", noteRead);
  notice(fs.realpathSync, "native", noteRead);
  for (const each of [fs, fs.promises]) {
    for (const name of Object.keys(each)) {
      notes.filter(([names]) => names.test(name)).forEach(([, note]) => notice(each, name, note));
    }
  }
  const isHelped = () => doubt("what another program or thread reads is not seen");
  for (const name of ["spawnSync", "execSync", "execFileSync"]) notice(children, name, isHelped);
  notice(children.ChildProcess.prototype, "spawn", isHelped);
  notice(threads, "Worker", isHelped);
  notice(process, "binding", isHelped);
  notice(process, "loadEnvFile", (file = ".env") => noteRead(file));
  notice(Module, "_findPath", (request, places) => seen.lookups.push([request, places || []]));
  Module.syncBuiltinESMExports();
}

/** Let `note` have the words of each call of a function first. */
function notice(object, name, note) {
  const theirs = object[name];
  if (typeof theirs !== "function") return;
  const handler = {
    apply(target, self, words) {
      note(...words);
      return Reflect.apply(target, self, words);
    },
    construct(target, words, made) {
      note(...words);
      return Reflect.construct(target, words, made);
    },
  };
  object[name] = new Proxy(theirs, handler);
}

function doubt(reason) {
  seen.doubt ||= reason;
}

function noteRead(file, _how, into = seen.read) {
  const isUrl = file instanceof URL && file.protocol === "file:";
  if (typeof file !== "string" && !Buffer.isBuffer(file) && !isUrl) return;
  const name = isUrl ? fileURLToPath(file) : String(file);
  if (/[\0\ufffd]/.test(name)) doubt("a path is not text");
  into.add(path.resolve(name));
}

function noteListed(folder, how) {
  if (how?.recursive) doubt("it reads many files at once");
  noteRead(folder, how, seen.listed);
}

function isWritten(flags) {
  if (typeof flags === "number") return (flags & 3) === fs.constants.O_WRONLY;
  return /^[wa][^+]*$/.test(flags);
}

/** Return the files that were read ("f") and the folders that were listed ("n").
 *
 * Without what lies below the working directory, which is read whole. A package that npm's list of
 * node_modules has with a digest stands there by that list and its own package.json.
 */
function lookedAt() {
  const { read, listed, named, lookups } = structuredClone(seen); // we read, too
  const scripts = scriptsSeen();
  const loaded = new Set([...scripts.keys(), ...Object.keys(require.cache)]);
  const places = placesOfPackages(loaded, lookups);
  const files = new Set(interpreterFiles());
  const found = { files, folders: new Set(), packages: packagesOf(places) };
  for (const file of loaded) lookAt(found, file);
  for (const file of read) {
    lookAt(found, file);
    if (isFixed(found, file) || file === real(file)) continue;
    if (loaded.has(real(file))) doubt(`${file}: a link`); // what is beside it is not named
  }
  for (const file of named) found.files.add(file).add(real(file));
  for (const folder of listed) found.folders.add(folder).add(real(folder));
  const project = [...loaded].filter((file) => !isListed(found, file));
  // The nearest one decides how a file is loaded.
  for (const folder of foldersOver(project)) lookAt(found, path.join(folder, "package.json"));
  for (const place of places) lookForPackages(found, place);
  for (const [request, from] of lookups) {
    for (const place of from) lookUp(found, request, place);
  }
  doubtImports(project, scripts);
  doubtSurroundings();
  const all = { f: files, n: found.folders };
  const unknown = (kind) => [...all[kind]].filter((name) => !isKnown(name)).sort();
  return ["f", "n"].flatMap((kind) => unknown(kind).map((name) => [kind, name]));
}

/** Return the scripts that V8 has compiled from files, and whether each is an ES module. */
function scriptsSeen() {
  const { Session } = require("inspector");
  const [session, found] = [new Session(), new Map()];
  session.connect();
  session.on("Debugger.scriptParsed", ({ params: { url, isModule = false } }) => {
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    if (path.isAbsolute(file)) found.set(file, isModule);
    else if (isModule) doubt(`${url}: a module that is not a file`);
  });
  session.post("Debugger.enable"); // it answers before it returns
  session.disconnect();
  return found;
}

/** Return what tells another Node from this one, whose own file is too large to be read. */
function interpreterFiles() {
  const header = path.resolve(process.execPath, "../../include/node/node_version.h");
  const text = fs.existsSync(header) ? fs.readFileSync(header, "utf8") : "";
  const [MAJOR, MINOR, PATCH] = process.versions.node.split(".");
  const said = Object.entries({ MAJOR, MINOR, PATCH });
  if (said.every(([name, n]) => text.includes(`NODE_${name}_VERSION ${n}\n`))) return [header];
  if (process.env.NODE_VERSION !== process.versions.node) doubt("nothing says Node's version");
  return [];
}

/** Return every folder where packages of the project are looked for. */
function placesOfPackages(loaded, lookups) {
  const over = foldersOver([...loaded, path.join(HERE, "project.js")]);
  const asked = lookups.filter(([request]) => !isPath(request)).flatMap(([, from]) => from);
  return new Set([...over.map((folder) => path.join(folder, "node_modules")), ...asked]);
}

function foldersOver(files) {
  const found = new Set();
  for (let folder of files) {
    do found.add((folder = path.dirname(folder)));
    while (folder !== path.dirname(folder));
  }
  return [...found];
}

/** Return the folders of packages that npm's list holds: by digest (true), or as links (false). */
function packagesOf(places) {
  const found = new Map();
  for (const place of places) {
    const list = path.join(place, ".package-lock.json");
    const { packages = {} } = fs.existsSync(list) ? JSON.parse(fs.readFileSync(list, "utf8")) : {};
    for (const [name, { integrity, link }] of Object.entries(packages)) {
      if (integrity || link) found.set(path.join(place, "..", name), !link);
    }
  }
  return found;
}

/** Return the folder of the package that a path leads into. */
function packageOf(file) {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/|$)/.exec(file)?.[0];
}

function isListed({ packages }, file) {
  return packages.has(packageOf(file));
}

function isFixed(found, file) {
  return isKnown(file) || isListed(found, file);
}

/** Say whether the launcher reads a path anyway, or the kernel makes it up. */
function isKnown(file) {
  if (/^\/(proc|sys|dev)\//.test(file)) return true;
  const steps = path.relative(HERE, file).split(path.sep);
  if (steps[0] === ".." || steps.some((name) => PASSED_OVER.has(name))) return false;
  const mark = (_, place) => path.join(HERE, ...steps.slice(0, place + 1), "pyvenv.cfg");
  return steps[0] === "" || !steps.map(mark).some((each) => fs.existsSync(each));
}

/** Return a path without links, also of what is not there. */
function real(file) {
  try {
    return fs.realpathSync(file);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes(error.code)) throw error;
    return path.join(real(path.dirname(file)), path.basename(file));
  }
}

function isFolder(name) {
  return fs.statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isPath(request) {
  return /^(\.{0,2}\/|\.{1,2}$)/.test(request);
}

/** Note a path that was read, with what it leads to. */
function lookAt(found, file) {
  for (const each of new Set([file, real(file)])) {
    if (isListed(found, each)) found.files.add(path.join(packageOf(each), "package.json"));
    else if (!isFolder(each)) found.files.add(each);
    // Those above the working directory are there as long as it is.
    else if (path.relative(each, HERE).startsWith("..")) found.folders.add(each);
  }
}

/** Note a folder of packages: another one in it may be found first. */
function lookForPackages(found, place) {
  if (isListed(found, path.dirname(place))) return;
  found.folders.add(place);
  if (!isFolder(place)) return;
  found.files.add(path.join(place, ".package-lock.json"));
  const names = (folder) => fs.readdirSync(folder).map((name) => path.join(folder, name));
  const scopes = names(place).filter((name) => /\/@[^/]*$/.test(name));
  for (const scope of scopes) found.folders.add(scope);
  for (const name of [place, ...scopes].flatMap(names)) {
    const isLink = fs.lstatSync(name).isSymbolicLink() && !isListed(found, name);
    if (isLink) doubt(`${name}: a link that npm has not made`);
  }
}

/** Note where `require` looked for a name, unless a list of packages decides that. */
function lookUp(found, request, place) {
  let base = path.resolve(place || "/", request);
  if (found.packages.get(packageOf(base)) === false) base = real(base);
  // A package that is missing is seen in the list of its place.
  const owner = packageOf(base);
  if (!isPath(request) && !fs.existsSync(owner ?? base)) return;
  if (owner && !fs.existsSync(owner)) return void found.folders.add(path.dirname(owner));
  if (base !== HERE && isFixed(found, base)) return;
  if (base !== real(base)) doubt(`${base}: a link`);
  if (!/(^|\/)\.{0,2}$/.test(request)) found.folders.add(path.dirname(base)); // with .js, .json
  if (base === HERE || !isFolder(base)) return;
  found.folders.add(base);
  lookAt(found, path.join(base, "package.json"));
}

/** Doubt where a module of the project imports what we cannot know: that is not to be seen. */
function doubtImports(project, scripts) {
  const sources = project.filter((file) => /\.[cm]?[jt]sx?$/.test(file) && fs.existsSync(file));
  const texts = sources.map((file) => fs.readFileSync(file, "utf8"));
  // Of JSON (its attributes), of WebAssembly, or of a name that is no word, or leads out.
  const attributes = /\b(with|assert)\b\s*:?\s*\{/;
  const computed = /\bimport\s*\((?!\s*(["'])(\.\/|[@\w])[^"']*\1\s*\))/;
  const unseen = [attributes, computed, /\.wasm\b/];
  const isUnseen = texts.some((text) => unseen.some((each) => each.test(text)));
  if (isUnseen) doubt("an import of a name that is not to be seen");
  const isCalled = texts.some((text) => /\bimport\s*\(/.test(text));
  const isImporting = isCalled || project.some((file) => scripts.get(file));
  if (isImporting && !project.every(isKnown)) doubt("an import that may lead out of the directory");
}

/** Doubt where NODE_OPTIONS load something before us, or a loader has files of its own. */
function doubtSurroundings() {
  const harmless = /^\s*((--(max|no|stack|trace)[-\w]*(=\d+)?|--enable-source-maps)(\s+|$))*$/;
  if (!harmless.test(process.env.NODE_OPTIONS ?? "")) doubt("NODE_OPTIONS may load something");
  if (process.versions.pnp) doubt("packages in archives");
}

/** Remember a file whose digest is told: a package's list does not stand for it. */
function nameFile(file) {
  seen.named.add(path.resolve(file));
}

/** Return what decides what `inspect` will say: pairs of kind and path; or none, and the doubt. */
function looks() {
  let found = [];
  try {
    found = lookedAt();
    if (found.length >= MOST) doubt("it reads too many files");
  } catch (error) {
    doubt(error.message); // something is not as we know it
  }
  return { found: seen.doubt ? [] : found, doubt: seen.doubt };
}

module.exports = { looks, nameFile };

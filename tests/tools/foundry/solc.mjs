#!/usr/bin/env node
// `solc` for forge, made of npm's compiler: answers --version, and compiles standard JSON from the standard input.
import { readFileSync, writeSync } from "node:fs";
import solc from "solc";

if (process.argv.includes("--version")) {
  const version = solc.version().replace(/\.Emscripten\.clang$/, ".Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (process.argv.includes("--standard-json")) {
  const output = Buffer.from(solc.compile(readFileSync(0, "utf8")));
  for (let sent = 0; sent < output.length; ) sent += writeSync(1, output, sent);
} else {
  console.error("solc.mjs only knows --version and --standard-json");
  process.exit(2);
}

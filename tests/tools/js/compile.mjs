// Compiles one Solidity file for the network's fork: node compile.mjs FILE CONTRACT > ARTIFACT
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import solc from "solc";

const [file, name] = process.argv.slice(2);
const input = {
  language: "Solidity",
  sources: { [basename(file)]: { content: readFileSync(file, "utf8") } },
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
const contract = output.contracts[basename(file)][name];
console.log(JSON.stringify({ abi: contract.abi, bytecode: "0x" + contract.evm.bytecode.object }));

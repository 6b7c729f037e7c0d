// Checks that every dependency's licence is one that MIT OR Apache-2.0 code may ship with: the list of deny.toml, which
// stays the only place where licences are named. A stand-in for `cargo deny check licenses` where that is not installed.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const rules = readFileSync("deny.toml", "utf8");
const allowed = new Set(/allow = \[([^\]]*)\]/.exec(rules)[1].match(/"[^"]+"/g).map((word) => word.slice(1, -1)));
const clarified = new Map(
  [...rules.matchAll(/crate = "([^"]+)"\nexpression = "([^"]+)"/g)].map(([, name, expression]) => [name, expression]),
);
const metadata = JSON.parse(
  execFileSync("cargo", ["metadata", "--format-version", "1", "--locked"], { maxBuffer: 1 << 28, encoding: "utf8" }),
);

// SPDX, as far as crates use it: OR, AND, WITH, parentheses, and the old "/" for OR.
function acceptable(expression) {
  const words = expression.replaceAll("/", " OR ").match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const any = () => {
    let value = all();
    while (words[at] === "OR") {
      at += 1;
      value = all() || value;
    }
    return value;
  };
  const all = () => {
    let value = one();
    while (words[at] === "AND") {
      at += 1;
      value = one() && value;
    }
    return value;
  };
  const one = () => {
    if (words[at] === "(") {
      at += 1;
      const value = any();
      at += 1;
      return value;
    }
    let name = words[at];
    at += 1;
    if (words[at] === "WITH") {
      name += ` WITH ${words[at + 1]}`;
      at += 2;
    }
    return allowed.has(name);
  };
  const value = any();
  return value && at === words.length;
}

const licence = (entry) => entry.license ?? clarified.get(entry.name) ?? "";
const refused = metadata.packages.filter((entry) => entry.source && !acceptable(licence(entry)));
for (const entry of refused) console.error(`${entry.name} ${entry.version}: licence ${licence(entry) || "not stated"}`);
console.log(`${metadata.packages.length} packages, ${refused.length} with a licence that is not allowed`);
process.exit(refused.length ? 1 : 0);

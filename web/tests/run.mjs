// All tests of the page: `npm test`. Ends with "test result: …" as Rust's harness does. `npm test page` runs those with the
// test double only, `npm test commands` those of the other npm scripts, `npm test engine` those with the real engine.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { goldenModel, packGolden } from "../../tests/browser/golden-pack.mjs";
import { weightsTool } from "../scripts/prepare.mjs";
import { out, Suite } from "./harness.mjs";
import { commandTests } from "./commands.mjs";
import { engineTests } from "./engine.mjs";
import { pageTests } from "./page.mjs";

// Requests of service workers are part of what the page asks for.
process.env.PW_EXPERIMENTAL_SERVICE_WORKER_NETWORK_EVENTS = "1";

const wanted = process.argv.slice(2);
const runs = (name) => wanted.length === 0 || wanted.includes(name);
mkdirSync(out, { recursive: true });
packGolden(weightsTool(), goldenModel(join(out, "models/tiny")), join(out, "tiny"));
const suite = new Suite();
if (runs("page")) await pageTests(suite);
if (runs("commands")) await commandTests(suite);
if (runs("engine")) await engineTests(suite);
console.log(`test result: ${suite.failed ? "FAILED" : "ok"}. ${suite.passed} passed; ${suite.failed} failed`);
process.exit(suite.failed ? 1 : 0);

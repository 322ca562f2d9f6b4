// Validates an OpenAPI document by the JSON schema of its version: node dist/openapi.js FILE
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { Validator } from "@seriousme/openapi-schema-validator";

const validator = new Validator();
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2]!, "utf8")) as object);
assert(result.valid, JSON.stringify(result.errors, null, 2));
assert.equal(validator.version, "3.1");
console.log("valid");

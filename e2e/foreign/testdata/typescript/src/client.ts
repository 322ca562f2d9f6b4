// Talks to a server as a program of somebody else would: with nothing but what is generated from the protobuf sources.
// It prints one line for each check, and ends with an error at the first that fails.
//
//   node dist/client.js ADDRESS TOKEN STORE
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

import { ErrorSchema, type Error as LetheError } from "./gen/lethe/v1/error_pb.js";
import { LogService, type SubscribeResponse } from "./gen/lethe/v1/log_pb.js";
import { Permission } from "./gen/lethe/v1/access_pb.js";
import { StoreService } from "./gen/lethe/v1/store_pb.js";

const [baseUrl, token, store] = process.argv.slice(2);
assert(baseUrl && token && store, "usage: client.js ADDRESS TOKEN STORE");

function says(secret: string): Interceptor {
  return (next) => (req) => {
    req.header.set("Authorization", `Bearer ${secret}`);
    req.header.set("Lethe-Store", store!);
    return next(req);
  };
}

function transports(secret: string): Record<string, Transport> {
  const url = baseUrl!;
  const interceptors = [says(secret)];
  return {
    "connect-json": createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors, useBinaryFormat: false }),
    "connect-get": createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors, useHttpGet: true }),
    "connect-binary": createConnectTransport({ baseUrl: url, httpVersion: "2", interceptors, useBinaryFormat: true }),
    "grpc": createGrpcTransport({ baseUrl: url, interceptors }),
    "grpc-web": createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1", interceptors }),
    "grpc-web-json": createGrpcWebTransport({ baseUrl: url, httpVersion: "2", interceptors, useBinaryFormat: false }),
  };
}

// refusal makes a call that must be refused, and gives what the server says about it.
async function refusal(call: () => Promise<unknown>, code: Code): Promise<LetheError> {
  try {
    await call();
  } catch (err) {
    assert(err instanceof ConnectError, `refused with ${err}`);
    assert.equal(Code[err.code], Code[code], err.message);
    const details = err.findDetails(ErrorSchema);
    assert.equal(details.length, 1, `${err.message} has no detail`);
    return details[0]!;
  }
  assert.fail("the call was not refused");
}

// take follows a subscription until it has given so many events, then leaves it.
async function take(client: Client<typeof LogService>, stream: string, after: string, count: number) {
  const ids: string[] = [];
  let last: SubscribeResponse | undefined;
  for await (const batch of client.subscribe({ filter: [{ stream }], after, limit: 2 })) {
    ids.push(...batch.events.map((e) => e.id));
    last = batch;
    if (ids.length >= count) {
      break;
    }
  }
  return { ids, cursor: last?.cursor ?? "" };
}

async function check(name: string, transport: Transport) {
  const client = createClient(LogService, transport);
  const stream = `application/${name}`;
  const customer = { role: "affected", kind: "customer", id: name };
  const said = (what: string) => console.log(`ok ${name} ${what}`);

  const who = await createClient(StoreService, transport).whoami({});
  assert.equal(who.store, store);
  assert(who.permissions.includes(Permission.APPEND));
  said("whoami");

  const drafts = [1, 2, 3].map((n) => ({
    id: randomUUID(),
    type: n === 1 ? "Registered" : "Changed",
    relations: [customer],
    occurredAt: timestampFromDate(new Date(Date.UTC(2026, 0, n))),
    data: JSON.stringify({ step: n, name: "Zoë" }),
  }));
  const request = {
    writes: [{ stream, expectedVersion: 0n, events: drafts }],
    condition: { filter: [{ types: ["Registered"], relations: [customer] }], after: 0n },
  };
  const appended = await client.append(request);
  assert.deepEqual(appended.events.map((e) => [e.id, e.version]), drafts.map((d, i) => [d.id, BigInt(i + 1)]));
  assert.equal(appended.repeated, false);
  const again = await client.append(request);
  assert.equal(again.repeated, true);
  assert.deepEqual(again.events, appended.events);
  said("append");

  const read = await client.read({ stream });
  assert.deepEqual(read.events.map((e) => e.id), drafts.map((d) => d.id));
  assert.deepEqual(read.events.map((e) => e.data), drafts.map((d) => d.data));
  assert.equal(read.events[0]?.leaf.length, 32);
  assert.equal(read.events[2]?.occurredAt?.seconds, drafts[2]!.occurredAt.seconds);
  assert(read.done);
  const query = await client.query({ filter: [{ types: ["Changed"], relations: [{ kind: "customer", id: name }] }] });
  assert.deepEqual(query.events.map((e) => e.version), [2n, 3n]);
  const found = await client.find({ id: drafts[0]!.id });
  assert.equal(found.event?.position, appended.events[0]?.position);
  said("read");

  const stale = { writes: [{ stream, expectedVersion: 1n, events: [{ type: "Changed" }] }] };
  const conflict = await refusal(() => client.append(stale), Code.Aborted);
  assert.equal(conflict.kind, "conflict");
  assert.equal(conflict.code, "version_conflict");
  assert.equal(conflict.detail.case, "versionConflict");
  assert.deepEqual([conflict.detail.value.stream, conflict.detail.value.expected, conflict.detail.value.actual], [stream, 1n, 3n]);
  const taken = {
    writes: [{ stream: `${stream}-2`, events: [{ type: "Registered", relations: [customer] }] }],
    condition: request.condition,
  };
  const failed = await refusal(() => client.append(taken), Code.Aborted);
  assert.equal(failed.code, "condition_failed");
  assert.equal(failed.detail.case, "conditionFailed");
  assert.equal(failed.detail.value.hit, appended.events[0]?.position);
  said("conflict");

  const first = await take(client, stream, "", 2);
  assert.deepEqual(first.ids, drafts.slice(0, 2).map((d) => d.id));
  const rest = take(client, stream, first.cursor, 2); // the second is appended while it waits
  const late = await client.append({ writes: [{ stream, events: [{ type: "Changed", data: "{}" }] }] });
  assert.deepEqual((await rest).ids, [drafts[2]!.id, late.events[0]!.id]);
  said("subscribe");
}

async function checkRefusal(name: string, transport: Transport) {
  const client = createClient(LogService, transport);
  for (const call of [() => client.head({}), () => take(client, "application/1", "", 1)]) {
    const denied = await refusal(call, Code.Unauthenticated);
    assert.equal(denied.kind, "denied");
    assert.equal(denied.code, "token_malformed");
  }
  console.log(`ok ${name} refusal`);
}

for (const [name, transport] of Object.entries(transports(token))) {
  await check(name, transport);
}
for (const [name, transport] of Object.entries(transports(`${token}x`))) {
  await checkRefusal(name, transport);
}
console.log("done");
process.exit(0); // without waiting for idle connections

// One conversation with a NATS server through nats.js, chosen by name:
//
//	node peer.mjs URL SCENARIO
//
// Exit code 0 and "ok" as the last line say that it went as expected. A scenario that needs
// something done to the server prints "ready" when it is time.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, headers, NoRespondersError, AuthorizationError } from "@nats-io/transport-node";

const [, , url, scenario] = process.argv;
const patience = 15000;

const open = (options = {}) => connect({ servers: url, timeout: patience, ...options });

// take collects n messages of a subscription.
async function take(sub, n) {
  const got = [];
  for await (const m of sub) {
    got.push(m);
    if (got.length === n) break;
  }
  return got;
}

const texts = (messages) => messages.map((m) => `${m.subject}=${m.string()}`);

const scenarios = {
  async pubsub() {
    const [a, b] = [await open(), await open()];
    const [one, two] = [a.subscribe("news", { max: 1 }), b.subscribe("news", { max: 1 })];
    await b.flush();
    a.publish("olds", "no");
    a.publish("news", "hello");
    assert.deepEqual(texts(await take(one, 1)), ["news=hello"]);
    assert.deepEqual(texts(await take(two, 1)), ["news=hello"]);
  },

  async wildcards() {
    const nc = await open();
    const [star, arrow] = [nc.subscribe("w.*.z"), nc.subscribe("w.>")];
    nc.publish("w", "0");
    nc.publish("w.y.z", "1");
    nc.publish("w.y", "2");
    nc.publish("w.x.z", "3");
    assert.deepEqual(texts(await take(star, 2)), ["w.y.z=1", "w.x.z=3"]);
    assert.deepEqual(texts(await take(arrow, 3)), ["w.y.z=1", "w.y=2", "w.x.z=3"]);
  },

  async queue() {
    const nc = await open();
    const members = [0, 1, 2].map(() => nc.subscribe("jobs", { queue: "workers" }));
    for (let i = 0; i < 300; i++) nc.publish("jobs", `${i}`);
    await nc.flush();
    const counts = members.map((m) => m.getReceived());
    await nc.drain();
    assert.ok(counts.every((c) => c > 0), `${counts}`);
    assert.equal(counts.reduce((a, b) => a + b), 300);
  },

  async request() {
    const [server, client] = [await open(), await open()];
    server.subscribe("time", { callback: (_, m) => m.respond("noon") });
    await server.flush();
    for (let i = 0; i < 50; i++) {
      assert.equal((await client.request("time", "?", { timeout: patience })).string(), "noon");
    }
  },

  async noresponders() {
    const nc = await open();
    await assert.rejects(nc.request("nobody", "?", { timeout: patience }), (err) => {
      return err instanceof NoRespondersError || err.cause instanceof NoRespondersError || err.isNoResponders?.();
    });
  },

  async headers() {
    const nc = await open();
    const sub = nc.subscribe("h", { max: 1 });
    const h = headers();
    h.set("Unit", "°C");
    h.append("Path", "one");
    h.append("Path", "two");
    nc.publish("h", "21.5", { headers: h });
    const [m] = await take(sub, 1);
    assert.equal(m.headers.get("Unit"), "°C");
    assert.deepEqual(m.headers.values("Path"), ["one", "two"]);
    assert.equal(m.string(), "21.5");
  },

  async drain() {
    const [incoming, out] = [await open(), await open()];
    let taken = 0;
    const sub = incoming.subscribe("x", { callback: () => taken++ });
    await incoming.flush();
    for (let i = 0; i < 200; i++) out.publish("x", `${i}`);
    await out.flush();
    await sub.drain();
    assert.equal(taken, 200);
    await assert.rejects(out.request("x", "?", { timeout: patience }));
    await incoming.drain();
    assert.ok(incoming.isClosed());
  },

  async reconnect() {
    const nc = await open({ maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0 });
    const sub = nc.subscribe("x", { max: 1 });
    await nc.flush();
    const back = (async () => {
      for await (const s of nc.status()) if (s.type === "reconnect") return;
    })();
    console.log("ready");
    await once(process.stdin, "data"); // the test says that the server runs again
    await back;
    nc.publish("x", "after");
    assert.deepEqual(texts(await take(sub, 1)), ["x=after"]);
  },

  async echo() {
    const [deaf, other] = [await open({ noEcho: true }), await open()];
    const [own, others] = [deaf.subscribe("x"), other.subscribe("x", { max: 1 })];
    await deaf.flush();
    await other.flush();
    deaf.publish("x", "1");
    assert.deepEqual(texts(await take(others, 1)), ["x=1"]);
    await deaf.flush();
    other.publish("x", "2");
    assert.deepEqual(texts(await take(own, 1)), ["x=2"]);
  },

  async autounsubscribe() {
    const nc = await open();
    const sub = nc.subscribe("x", { max: 2 });
    for (let i = 0; i < 5; i++) nc.publish("x", `${i}`);
    await nc.flush();
    assert.deepEqual(texts(await take(sub, 3)), ["x=0", "x=1"]);
    await assert.rejects(nc.request("x", "?", { timeout: patience }));
  },

  async maxpayload() {
    const nc = await open();
    assert.equal(nc.info.max_payload, 1024);
    assert.throws(() => nc.publish("x", new Uint8Array(1025)));
    nc.publish("x", new Uint8Array(1024));
    await nc.flush();
  },

  async authfail() {
    for (const options of [{ user: "sensor", pass: "wrong" }, {}]) {
      await assert.rejects(open({ ...options, reconnect: false }), (err) => {
        return err instanceof AuthorizationError || err.cause instanceof AuthorizationError;
      });
    }
  },

  async permissions() {
    const sensor = await open({ user: "sensor", pass: "p" });
    const admin = await open({ user: "admin", pass: "p" });
    const all = admin.subscribe("data.>", { max: 1 });
    await admin.flush();
    const refused = (async () => {
      for await (const s of sensor.status()) if (s.type === "error") return s.error;
    })();
    sensor.publish("cmd.x", "no");
    assert.match((await refused).message, /permissions violation for publish to "cmd.x"/i);
    const sub = sensor.subscribe("data.x");
    await assert.rejects(take(sub, 1), /permissions violation for subscription to "data.x"/i);
    sensor.publish("data.temp", "21");
    assert.deepEqual(texts(await take(all, 1)), ["data.temp=21"]);
  },

  async lameduck() {
    const nc = await open({ reconnect: false });
    (async () => {
      for await (const s of nc.status()) if (s.type === "ldm") console.log("lame");
    })();
    console.log("ready");
    await nc.closed();
  },
};

setTimeout(() => {
  console.error("too slow");
  process.exit(1);
}, 3 * patience).unref();

await scenarios[scenario]();
console.log("ok");
process.exit(0);

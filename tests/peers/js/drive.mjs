// A client that does as it is told: one command a line on stdin, an answer "= ..." for each, and
// "! ..." for what nats.js reports by itself. driver_test.go lists the commands. An error is shown
// as a class that all libraries share, and after a bar as nats.js has it.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  AuthorizationError, connect, credsAuthenticator, jwtAuthenticator, nkeyAuthenticator, NoRespondersError,
  PermissionViolationError, TimeoutError, UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { fromSeed } from "@nats-io/nkeys";

const url = process.argv[2];
const patience = 15000;
const text = new TextDecoder();
let options, nc, leaving;

const say = (line) => process.stdout.write(`${line}\n`);

// described shows an error: its class, and its text if it is the server's.
function described(err) {
  const chain = [];
  for (let e = err; e; e = e.cause) chain.push(e);
  const is = (type) => chain.some((e) => e instanceof type);
  const words = chain.map((e) => `${e.name}: ${e.message}`).join(" < ");
  let name = "broken";
  if (is(UserAuthenticationExpiredError)) name = "expired";
  else if (is(AuthorizationError)) name = /expired/i.test(words) ? "expired" : /revoked/i.test(words) ? "revoked" : "authorization";
  else if (is(PermissionViolationError)) name = "permissions";
  else if (is(NoRespondersError) || err?.isNoResponders?.()) name = "nobody";
  else if (is(TimeoutError)) name = "timeout";
  else if (/maximum.*connections/i.test(words)) name = "full";
  else if (chain.some((e) => /CERT|SIGNATURE|ALTNAME|ISSUER/.test(e.code ?? ""))) name = "certificate";
  else if (chain.some((e) => e.name === "ProtocolError")) name = "other";
  // What the socket says depends on the moment.
  return name === "broken" || name === "certificate" ? name : `${name} | ${words}`;
}

function fresh() {
  options = {
    servers: url, timeout: patience, maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0, reconnectJitterTLS: 0,
  };
}

const secure = (more) => (options.tls = { ...options.tls, ...more });

const settings = {
  user: (user, pass) => Object.assign(options, { user, pass }),
  token: (token) => (options.token = token),
  nkey(key, file) {
    const seed = readFileSync(file, "utf8").trim();
    const pair = fromSeed(new TextEncoder().encode(seed));
    if (pair.getPublicKey() === key) {
      options.authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
      return;
    }
    // Somebody else's signature, which the library would not make by itself.
    options.authenticator = (nonce) => ({
      nkey: key, sig: Buffer.from(pair.sign(new TextEncoder().encode(nonce))).toString("base64url"),
    });
  },
  creds: (file) => (options.authenticator = credsAuthenticator(readFileSync(file))),
  bearer: (jwt) => (options.authenticator = jwtAuthenticator(jwt)),
  tls: () => secure({}),
  ca: (caFile) => secure({ caFile }),
  cert: (certFile, keyFile) => secure({ certFile, keyFile }),
  patience: (ms) => (options.timeout = Number(ms)),
  once: () => (options.reconnect = false),
  first: () => secure({ handshakeFirst: true }),
};

async function watch(connection) {
  (async () => {
    for await (const s of connection.status()) {
      if (leaving) continue;
      if (s.type === "disconnect") say("! disconnected");
      if (s.type === "reconnect") say("! reconnected");
      if (s.type === "error") say(`! error ${described(s.error)}`);
    }
  })();
  const err = await connection.closed();
  if (!leaving) say(`! ended ${err ? described(err) : "broken"}`);
}

const commands = {
  fresh,
  set: (what, ...values) => void settings[what](...values),
  async connect() {
    try {
      nc = await connect(options);
    } catch (err) {
      // Of a TLS connection that ends early it reports nothing until it is tired of waiting.
      return err.name === "TimeoutError" ? "refused broken" : `refused ${described(err)}`;
    }
    watch(nc);
    return "connected";
  },
  sub(subject, queue) {
    // An error of the subscription comes by way of the connection as well.
    const callback = (err, m) => err ?? say(`! msg ${m.subject} ${m.string()}`);
    nc.subscribe(subject, { queue, callback });
  },
  pub: (subject, ...words) => nc.publish(subject, words.join(" ")),
  async request(subject, ...words) {
    try {
      return `answer ${text.decode((await nc.request(subject, words.join(" "), { timeout: patience })).data)}`;
    } catch (err) {
      return `failed ${described(err).split(" | ")[0]}`;
    }
  },
  async flush() {
    try {
      await nc.flush();
    } catch {
      return "failed";
    }
  },
  async close() {
    leaving = true;
    await nc?.close();
    nc = undefined;
    leaving = false;
  },
};

fresh();
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split(" ");
  let answer;
  try {
    answer = await commands[verb](...words);
  } catch (err) {
    answer = `${err.name}: ${err.message}`;
  }
  say(`= ${typeof answer === "string" ? answer : "done"}`);
}
process.exit(0);

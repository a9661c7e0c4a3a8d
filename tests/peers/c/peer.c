// One conversation with a NATS server through libnats, chosen by name:
//
//	peer URL SCENARIO
//
// Exit code 0 and "ok" as the last line say that it went as expected. A scenario that needs
// something done to the server prints "ready" when it is time.

#include <nats/nats.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { patience = 15000 }; // milliseconds

static const char *url;

static void fail(const char *form, ...) {
    va_list args;
    va_start(args, form);
    vfprintf(stderr, form, args);
    va_end(args);
    fputc('\n', stderr);
    nats_PrintLastErrorStack(stderr);
    exit(1);
}

static void must(natsStatus s, const char *what) {
    if (s != NATS_OK)
        fail("%s: %s", what, natsStatus_GetText(s));
}

static void want(natsStatus got, natsStatus expected, const char *what) {
    if (got != expected)
        fail("%s: got %s, want %s", what, natsStatus_GetText(got), natsStatus_GetText(expected));
}

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static natsOptions *options(void) {
    natsOptions *o;
    must(natsOptions_Create(&o), "options");
    must(natsOptions_SetURL(o, url), "url");
    must(natsOptions_SetTimeout(o, patience), "timeout");
    return o;
}

static natsConnection *connect_with(natsOptions *o) {
    natsConnection *nc;
    must(natsConnection_Connect(&nc, o), "connect");
    return nc;
}

static natsConnection *connect_plain(void) { return connect_with(options()); }

static natsSubscription *subscribe(natsConnection *nc, const char *subject) {
    natsSubscription *sub;
    must(natsConnection_SubscribeSync(&sub, nc, subject), "subscribe");
    must(natsConnection_FlushTimeout(nc, patience), "flush");
    return sub;
}

static void publish(natsConnection *nc, const char *subject, const char *text) {
    must(natsConnection_PublishString(nc, subject, text), "publish");
}

static void expect(natsSubscription *sub, const char *subject, const char *text) {
    natsMsg *m;
    natsStatus s = natsSubscription_NextMsg(&m, sub, patience);
    if (s != NATS_OK)
        fail("waiting for %s on %s: %s", text, subject, natsStatus_GetText(s));
    if (strcmp(natsMsg_GetSubject(m), subject) != 0 || natsMsg_GetDataLength(m) != (int)strlen(text) ||
        memcmp(natsMsg_GetData(m), text, strlen(text)) != 0)
        fail("got \"%.*s\" on %s, want \"%s\" on %s", natsMsg_GetDataLength(m), natsMsg_GetData(m),
             natsMsg_GetSubject(m), text, subject);
    natsMsg_Destroy(m);
}

static void expect_nothing(natsSubscription *sub, natsConnection *nc) {
    uint64_t queued;
    must(natsConnection_FlushTimeout(nc, patience), "flush");
    must(natsSubscription_QueuedMsgs(sub, &queued), "queued");
    if (queued != 0)
        fail("%d messages nobody expects", (int)queued);
}

static void pubsub(void) {
    natsConnection *a = connect_plain(), *b = connect_plain();
    natsSubscription *one = subscribe(a, "news"), *two = subscribe(b, "news");
    publish(a, "news", "hello");
    publish(a, "olds", "hello");
    expect(one, "news", "hello");
    expect(two, "news", "hello");
    expect_nothing(one, a);
}

static void wildcards(void) {
    natsConnection *nc = connect_plain();
    natsSubscription *star = subscribe(nc, "w.*.z"), *arrow = subscribe(nc, "w.>");
    publish(nc, "w.y.z", "1");
    publish(nc, "w.y", "2");
    publish(nc, "w", "3");
    expect(star, "w.y.z", "1");
    expect(arrow, "w.y.z", "1");
    expect(arrow, "w.y", "2");
    expect_nothing(star, nc);
    expect_nothing(arrow, nc);
}

static void queue(void) {
    enum { members = 3, messages = 300 };
    natsConnection *nc = connect_plain();
    natsSubscription *subs[members];
    for (int i = 0; i < members; i++)
        must(natsConnection_QueueSubscribeSync(&subs[i], nc, "jobs", "workers"), "queue subscribe");
    for (int i = 0; i < messages; i++)
        publish(nc, "jobs", "work");
    must(natsConnection_FlushTimeout(nc, patience), "flush");
    uint64_t sum = 0;
    for (int i = 0; i < members; i++) {
        uint64_t queued;
        must(natsSubscription_QueuedMsgs(subs[i], &queued), "queued");
        if (queued == 0)
            fail("member %d got nothing", i);
        sum += queued;
    }
    if (sum != messages)
        fail("%d deliveries of %d messages", (int)sum, messages);
}

static void answer(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
    natsConnection_PublishString(nc, natsMsg_GetReply(m), "noon");
    natsMsg_Destroy(m);
}

static void request(void) {
    natsConnection *server = connect_plain(), *client = connect_plain();
    natsSubscription *sub;
    must(natsConnection_Subscribe(&sub, server, "time", answer, NULL), "subscribe");
    must(natsConnection_FlushTimeout(server, patience), "flush");
    for (int i = 0; i < 50; i++) {
        natsMsg *m;
        must(natsConnection_RequestString(&m, client, "time", "?", patience), "request");
        if (strncmp(natsMsg_GetData(m), "noon", 4) != 0)
            fail("got %s", natsMsg_GetData(m));
        natsMsg_Destroy(m);
    }
}

static void noresponders(void) {
    natsMsg *m;
    want(natsConnection_RequestString(&m, connect_plain(), "nobody", "?", patience), NATS_NO_RESPONDERS, "request");
}

static void headers(void) {
    natsConnection *nc = connect_plain();
    natsSubscription *sub = subscribe(nc, "h");
    natsMsg *m;
    must(natsMsg_Create(&m, "h", NULL, "21.5", 4), "message");
    must(natsMsgHeader_Set(m, "Unit", "C"), "header");
    must(natsMsgHeader_Add(m, "Path", "one"), "header");
    must(natsMsgHeader_Add(m, "Path", "two"), "header");
    must(natsConnection_PublishMsg(nc, m), "publish");
    natsMsg_Destroy(m);
    must(natsSubscription_NextMsg(&m, sub, patience), "next");
    const char *value;
    must(natsMsgHeader_Get(m, "Unit", &value), "header");
    const char **values;
    int count;
    must(natsMsgHeader_Values(m, "Path", &values, &count), "headers");
    if (strcmp(value, "C") != 0 || count != 2 || strcmp(values[1], "two") != 0 || natsMsg_GetDataLength(m) != 4)
        fail("got %s and %d values", value, count);
}

static int taken; // by one callback thread

static void take(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
    nats_Sleep(1);
    taken++;
    natsMsg_Destroy(m);
}

static void drain(void) {
    natsConnection *in = connect_plain(), *out = connect_plain();
    natsSubscription *sub;
    must(natsConnection_Subscribe(&sub, in, "x", take, NULL), "subscribe");
    must(natsConnection_FlushTimeout(in, patience), "flush");
    for (int i = 0; i < 200; i++)
        publish(out, "x", "work");
    must(natsConnection_FlushTimeout(out, patience), "flush");
    must(natsSubscription_Drain(sub), "drain");
    must(natsSubscription_WaitForDrainCompletion(sub, patience), "end of drain");
    if (taken != 200)
        fail("%d of 200 taken", taken);
    natsMsg *m;
    want(natsConnection_RequestString(&m, out, "x", "?", patience), NATS_NO_RESPONDERS, "request");
}

static void on_back(natsConnection *nc, void *closure) { say("back"); }

static void reconnect(void) {
    natsOptions *o = options();
    must(natsOptions_SetMaxReconnect(o, -1), "option");
    must(natsOptions_SetReconnectWait(o, 20), "option");
    must(natsOptions_SetReconnectJitter(o, 1, 1), "option");
    must(natsOptions_SetReconnectedCB(o, on_back, NULL), "option");
    natsConnection *nc = connect_with(o);
    natsSubscription *sub = subscribe(nc, "x");
    say("ready");
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL) // the test says that the server runs again
        fail("nobody there");
    for (int tries = 0; natsConnection_FlushTimeout(nc, 500) != NATS_OK; tries++)
        if (tries == 60)
            fail("not connected again");
    publish(nc, "x", "after");
    expect(sub, "x", "after");
}

static void echo(void) {
    natsOptions *o = options();
    must(natsOptions_SetNoEcho(o, true), "option");
    natsConnection *deaf = connect_with(o), *other = connect_plain();
    natsSubscription *own = subscribe(deaf, "x"), *others = subscribe(other, "x");
    publish(deaf, "x", "1");
    expect(others, "x", "1");
    expect_nothing(own, deaf);
    publish(other, "x", "2");
    expect(own, "x", "2");
}

static void autounsubscribe(void) {
    natsConnection *nc = connect_plain();
    natsSubscription *sub = subscribe(nc, "x");
    must(natsSubscription_AutoUnsubscribe(sub, 2), "auto unsubscribe");
    for (int i = 0; i < 5; i++)
        publish(nc, "x", "1");
    expect(sub, "x", "1");
    expect(sub, "x", "1");
    natsMsg *m;
    if (natsSubscription_NextMsg(&m, sub, 100) == NATS_OK)
        fail("a third message");
    want(natsConnection_RequestString(&m, nc, "x", "?", patience), NATS_NO_RESPONDERS, "request");
}

static void maxpayload(void) {
    natsConnection *nc = connect_plain();
    if (natsConnection_GetMaxPayload(nc) != 1024)
        fail("max payload %d", (int)natsConnection_GetMaxPayload(nc));
    char big[1025] = {0};
    want(natsConnection_Publish(nc, "x", big, sizeof big), NATS_MAX_PAYLOAD, "publish");
    must(natsConnection_Publish(nc, "x", big, sizeof big - 1), "publish");
    must(natsConnection_FlushTimeout(nc, patience), "flush");
}

static void authfail(void) {
    natsOptions *o = options();
    natsConnection *nc;
    must(natsOptions_SetUserInfo(o, "sensor", "wrong"), "option");
    want(natsConnection_Connect(&nc, o), NATS_CONNECTION_AUTH_FAILED, "connect");
    want(natsConnection_ConnectTo(&nc, url), NATS_CONNECTION_AUTH_FAILED, "connect without a user");
}

static volatile bool not_permitted;

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus err, void *closure) {
    if (err == NATS_NOT_PERMITTED)
        not_permitted = true;
}

static void permissions(void) {
    natsOptions *o = options();
    must(natsOptions_SetUserInfo(o, "sensor", "p"), "option");
    must(natsOptions_SetErrorHandler(o, on_error, NULL), "option");
    natsConnection *sensor = connect_with(o);
    o = options();
    must(natsOptions_SetUserInfo(o, "admin", "p"), "option");
    natsConnection *admin = connect_with(o);
    natsSubscription *all = subscribe(admin, "data.>");
    publish(sensor, "cmd.x", "no");
    publish(sensor, "data.temp", "21");
    expect(all, "data.temp", "21");
    for (int waited = 0; !not_permitted; waited++) {
        if (waited == patience)
            fail("no permissions violation");
        nats_Sleep(1);
    }
}

static void on_lame(natsConnection *nc, void *closure) { say("lame"); }
static void on_closed(natsConnection *nc, void *closure) {
    say("ok");
    exit(0);
}

static void lameduck(void) {
    natsOptions *o = options();
    must(natsOptions_SetLameDuckModeCB(o, on_lame, NULL), "option");
    must(natsOptions_SetClosedCB(o, on_closed, NULL), "option");
    must(natsOptions_SetAllowReconnect(o, false), "option");
    connect_with(o);
    say("ready");
    nats_Sleep(2 * patience);
    fail("it was not closed");
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"pubsub", pubsub},           {"wildcards", wildcards}, {"queue", queue},
    {"request", request},         {"headers", headers},     {"noresponders", noresponders},
    {"drain", drain},             {"reconnect", reconnect}, {"echo", echo},
    {"autounsubscribe", autounsubscribe}, {"maxpayload", maxpayload}, {"authfail", authfail},
    {"permissions", permissions}, {"lameduck", lameduck},
};

int main(int argc, char **argv) {
    if (argc != 3)
        fail("usage: peer URL SCENARIO");
    url = argv[1];
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(argv[2], scenarios[i].name) == 0) {
            scenarios[i].run();
            say("ok");
            return 0;
        }
    }
    fail("no scenario %s", argv[2]);
}

// A client that does as it is told: one command a line on stdin, an answer "= ..." for each, and
// "! ..." for what libnats reports by itself. driver_test.go lists the commands. An error is shown
// as a class that all libraries share, and after a bar as libnats has it.

#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { patience = 15000 }; // milliseconds

static natsOptions *options;
static natsConnection *nc;
static volatile bool leaving, ended;
static char bearer[16384];
static char keys[4096];        // the file that holds the seed, and the JWT of credentials
static volatile bool unlucky; // sign would have been misunderstood

static void say(const char *kind, const char *what, const char *text) {
    flockfile(stdout);
    printf("%s %s%s%s\n", kind, what, text[0] ? " " : "", text);
    fflush(stdout);
    funlockfile(stdout);
}

// complain shows an error: its class, and text if it is the server's.
static void complain(const char *kind, const char *what, natsStatus s, const char *text) {
    const char *class = "broken";
    if (text == NULL)
        text = "";
    if (s == NATS_CONNECTION_AUTH_FAILED)
        class = strcasestr(text, "expired") ? "expired" : "authorization";
    else if (strcasestr(text, "authentication expired"))
        class = "expired";
    else if (strcasestr(text, "authentication revoked"))
        class = "revoked";
    else if (s == NATS_NOT_PERMITTED)
        class = "permissions";
    else if (s == NATS_NO_RESPONDERS)
        class = "nobody";
    else if (s == NATS_TIMEOUT)
        class = "timeout";
    else if (strcasestr(text, "maximum") && strcasestr(text, "connections"))
        class = "full";
    else if (s == NATS_ERR && text[0])
        class = "other";
    else if (s == NATS_SSL_ERROR && strstr(text, ":depth="))
        class = "certificate";
    char line[1024];
    if (strcmp(class, "broken") == 0 || strcmp(class, "certificate") == 0)
        snprintf(line, sizeof line, "%s", class); // what the socket says depends on the moment
    else
        snprintf(line, sizeof line, "%s | %s%s%s", class, natsStatus_GetText(s), text[0] ? ": " : "", text);
    say(kind, what, line);
}

static void on_error(natsConnection *c, natsSubscription *sub, natsStatus s, void *closure) {
    complain("!", "error", s, NULL); // the connection's last text may be that of a later error
}

static void on_disconnected(natsConnection *c, void *closure) {
    if (!leaving)
        say("!", "disconnected", "");
}

static void on_reconnected(natsConnection *c, void *closure) { say("!", "reconnected", ""); }

static void on_closed(natsConnection *c, void *closure) {
    const char *text = NULL;
    natsStatus s = natsConnection_GetLastError(c, &text);
    if (!leaving)
        complain("!", "ended", s, text);
    ended = true;
}

static void on_message(natsConnection *c, natsSubscription *sub, natsMsg *m, void *closure) {
    char line[4096];
    snprintf(line, sizeof line, "%s %.*s", natsMsg_GetSubject(m), natsMsg_GetDataLength(m), natsMsg_GetData(m));
    natsMsg_Destroy(m);
    say("!", "msg", line);
}

static natsStatus give_jwt(char **jwt, char **why, void *closure) {
    *jwt = strdup(bearer);
    return NATS_OK;
}

static natsStatus sign_nothing(char **why, unsigned char **signature, int *length, const char *nonce, void *closure) {
    *signature = calloc(1, 1);
    *length = 0;
    return NATS_OK;
}

enum { line_size = 16384 }; // the longest JWT has to fit: a piece of it may begin as a seed does

// line_of finds the line of the keys' file that begins like this, or the one behind another.
static bool line_of(const char *start, const char *behind, char *line) {
    FILE *f = fopen(keys, "r");
    bool next = behind == NULL, found = false;
    while (f != NULL && !found && fgets(line, line_size, f) != NULL) {
        line[strcspn(line, "\r\n")] = 0;
        found = next && strncmp(line, start, strlen(start)) == 0;
        next = next || strcmp(line, behind) == 0;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static natsStatus read_jwt(char **jwt, char **why, void *closure) {
    static char line[line_size];
    if (!line_of("ey", "-----BEGIN NATS USER JWT-----", line))
        return NATS_NOT_FOUND;
    *jwt = strdup(line);
    return NATS_OK;
}

// sign does what libnats does with files of keys, but for one thing: libnats 3.4.1 takes a signature whose
// first byte is zero, one of 256, for none and leaves it out of CONNECT. Then this fails before anything
// is sent, and enter begins anew, with another nonce; a reconnect does so by itself.
static natsStatus sign(char **why, unsigned char **signature, int *length, const char *nonce, void *closure) {
    char seed[line_size];
    if (!line_of("SU", NULL, seed))
        return NATS_NOT_FOUND;
    natsStatus s = nats_Sign(seed, nonce, signature, length);
    if (s == NATS_OK && (*signature)[0] == 0) {
        free(*signature);
        *signature = NULL;
        unlucky = true;
        return NATS_ERR;
    }
    return s;
}

static void fresh(const char *url) {
    natsOptions_Create(&options);
    natsOptions_SetURL(options, url);
    natsOptions_SetTimeout(options, patience);
    natsOptions_SetMaxReconnect(options, -1);
    natsOptions_SetReconnectWait(options, 20);
    natsOptions_SetReconnectJitter(options, 1, 1);
    natsOptions_SetErrorHandler(options, on_error, NULL);
    natsOptions_SetDisconnectedCB(options, on_disconnected, NULL);
    natsOptions_SetReconnectedCB(options, on_reconnected, NULL);
    natsOptions_SetClosedCB(options, on_closed, NULL);
}

static natsStatus set(const char *what, const char *a, const char *b) {
    if (strcmp(what, "user") == 0)
        return natsOptions_SetUserInfo(options, a, b);
    if (strcmp(what, "token") == 0)
        return natsOptions_SetToken(options, a);
    if (strcmp(what, "nkey") == 0) {
        snprintf(keys, sizeof keys, "%s", b);
        return natsOptions_SetNKey(options, a, sign, NULL);
    }
    if (strcmp(what, "creds") == 0) {
        snprintf(keys, sizeof keys, "%s", a);
        return natsOptions_SetUserCredentialsCallbacks(options, read_jwt, NULL, sign, NULL);
    }
    if (strcmp(what, "bearer") == 0) {
        snprintf(bearer, sizeof bearer, "%s", a);
        return natsOptions_SetUserCredentialsCallbacks(options, give_jwt, NULL, sign_nothing, NULL);
    }
    if (strcmp(what, "patience") == 0)
        return natsOptions_SetTimeout(options, atoi(a));
    if (strcmp(what, "once") == 0)
        return natsOptions_SetAllowReconnect(options, false);
    natsStatus s = natsOptions_SetSecure(options, true);
    if (s == NATS_OK && strcmp(what, "ca") == 0)
        return natsOptions_LoadCATrustedCertificates(options, a);
    if (s == NATS_OK && strcmp(what, "cert") == 0)
        return natsOptions_LoadCertificatesChain(options, a, b);
    return strcmp(what, "tls") == 0 ? s : NATS_INVALID_ARG;
}

static void request(const char *subject, const char *text) {
    natsMsg *m;
    natsStatus s = natsConnection_RequestString(&m, nc, subject, text, patience);
    if (s != NATS_OK) {
        complain("=", "failed", s, "");
        return;
    }
    char line[8192];
    snprintf(line, sizeof line, "%.*s", natsMsg_GetDataLength(m), natsMsg_GetData(m));
    natsMsg_Destroy(m);
    say("=", "answer", line);
}

static void subscribe(const char *subject, const char *group) {
    natsSubscription *sub;
    natsStatus s = group[0] ? natsConnection_QueueSubscribe(&sub, nc, subject, group, on_message, NULL)
                            : natsConnection_Subscribe(&sub, nc, subject, on_message, NULL);
    say("=", s == NATS_OK ? "done" : natsStatus_GetText(s), "");
}

static void leave(void) {
    leaving = true;
    natsConnection_Close(nc);
    for (int waited = 0; nc != NULL && !ended && waited < patience; waited++)
        nats_Sleep(1);
    natsConnection_Destroy(nc);
    nc = NULL;
    leaving = ended = false;
    say("=", "done", "");
}

static void enter(void) {
    natsStatus s;
    do {
        unlucky = false;
        s = natsConnection_Connect(&nc, options);
    } while (s != NATS_OK && unlucky);
    if (s == NATS_OK) {
        say("=", "connected", "");
        return;
    }
    nc = NULL;
    natsStatus last;
    complain("=", "refused", s, nats_GetLastError(&last));
}

int main(int argc, char **argv) {
    static char line[32768];
    if (argc != 2)
        return 2;
    fresh(argv[1]);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *verb = strsep(&rest, " "), *a = "", *b = "", *c = "";
        if (rest != NULL && strcmp(verb, "set") == 0)
            a = strsep(&rest, " ");
        if (rest != NULL)
            b = strsep(&rest, " ");
        if (rest != NULL)
            c = rest;
        if (strcmp(verb, "fresh") == 0) {
            natsOptions_Destroy(options);
            fresh(argv[1]);
            say("=", "done", "");
        } else if (strcmp(verb, "set") == 0) {
            natsStatus s = set(a, b, c);
            say("=", s == NATS_OK ? "done" : natsStatus_GetText(s), "");
        } else if (strcmp(verb, "connect") == 0) {
            enter();
        } else if (strcmp(verb, "sub") == 0) {
            subscribe(b, c);
        } else if (strcmp(verb, "pub") == 0) {
            natsStatus s = natsConnection_PublishString(nc, b, c);
            say("=", s == NATS_OK ? "done" : natsStatus_GetText(s), "");
        } else if (strcmp(verb, "request") == 0) {
            request(b, c);
        } else if (strcmp(verb, "flush") == 0) {
            natsStatus s = natsConnection_FlushTimeout(nc, patience);
            say("=", s == NATS_OK ? "done" : "failed", "");
        } else if (strcmp(verb, "close") == 0) {
            leave();
        } else {
            say("=", "what", verb);
        }
    }
    return 0;
}

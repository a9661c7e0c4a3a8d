package main

import (
	"net"
	"strings"
	"testing"
)

// What to do about a refused login depends on what the server was shown.
func TestRefusedLoginSaysWhatWasShown(t *testing.T) {
	const secret = "not-the-right-one"
	_, _, ports := startServer(t, "authorization { user: ann, password: right }\nmax_failed_logins: -1\n")
	url := ports["nats"][0]
	with := strings.Replace(url, "://", "://ann:"+secret+"@", 1)
	for _, row := range []struct {
		name      string
		args, env []string
		want      string
	}{
		{"nothing", nil, nil, `nothing was said of who we are: say --user and --password \(or set NATS_USER and NATS_PASSWORD\), --token, --creds or --nkey`},
		{"user and password", []string{"--user", "ann", "--password", secret}, nil, `wrong user or password for "ann": compare with .*`},
		{"variables", nil, []string{"NATS_USER=ann", "NATS_PASSWORD=" + secret}, `wrong user or password for "ann" \(from NATS_USER and NATS_PASSWORD\): compare with .*`},
		{"one variable", []string{"--user", "ann"}, []string{"NATS_PASSWORD=" + secret}, `wrong user or password for "ann" \(from NATS_PASSWORD\): compare with .*`},
		{"user alone", []string{"--user", "ann"}, nil, `"ann" was shown as a token, as there is no password: say --password too, or set NATS_PASSWORD`},
		{"password alone", []string{"--password", secret}, nil, `a password counts only with its user: say --user too, or set NATS_USER`},
		{"token", []string{"--token", secret}, nil, `the token is not the server's: compare with .*`},
		{"URL", []string{"-s", with}, nil, `wrong user or password in the URL: compare with .*`},
	} {
		if len(row.args) == 0 || row.args[0] != "-s" {
			row.args = append(row.args, "-s", url)
		}
		for _, command := range [][]string{{"pub", "a", "b"}, {"bench", "a", "--pub", "1", "--msgs", "1"}} {
			s := step{name: row.name, args: append(command, row.args...), env: row.env, code: exitFailed, stderr: `edgebus: .*authorization violation: the server refused the credentials \(Authorization Violation\); ` + row.want + `\n`}
			r := start(t, edgebusBinary, "", row.env, s.args...).wait()
			s.check(t, r)
			if strings.Contains(r.stderr, secret) {
				t.Errorf("%s: the secret is shown: %v", row.name, r)
			}
		}
	}
	step{name: "right ones from variables", args: []string{"pub", "a", "b", "-s", url}, env: []string{"NATS_USER=ann", "NATS_PASSWORD=right"}, stderr: ".*Published.*"}.run(t, "")
}

// As monitoring pages do, after a while.
func TestPortWhereNobodyGreetsIsAskedAbout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	step{name: "closed", args: []string{"pub", "a", "b", "-s", ln.Addr().String()}, code: exitFailed,
		stderr: `edgebus: client: connect to \S+: EOF; what listens there closed the connection without a word: is it the port for clients, .*\n`}.run(t, "")
	ln.Close()
	<-ended
}

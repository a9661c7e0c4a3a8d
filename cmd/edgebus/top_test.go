package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edgebus-io/edgebus/client"
)

func TestTopShowsRatesOfEachConnection(t *testing.T) {
	_, _, ports := startServer(t, "http: \"127.0.0.1:-1\"\nhttp_user: eve\nhttp_password: look\n")
	url, monitor := ports["nats"][0], hostPort(t, ports["monitoring"])
	start(t, edgebusBinary, "", nil, "pub", "busy", "0123456789", "--count", "100000", "--sleep", "1ms", "-q", "-s", url, "--connection-name", "pump\x1b[31m")
	listen(t, url, "", "", "busy")
	var table topTable
	for table.InRate == 0 && t.Context().Err() == nil {
		r := run(t, "", "top", "-m", "http://eve:look@"+monitor, "--count", "1", "--interval", "200ms", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &table); err != nil || r.code != 0 {
			t.Fatalf("%v: %v", err, r)
		}
	}
	if len(table.Rows) != 2 || table.Rows[0].InRate+table.Rows[0].OutRate == 0 || table.InBytesRate < 5*table.InRate {
		t.Errorf("%+v", table)
	}
	r := run(t, "", "top", "-m", "http://eve:look@"+monitor, "--count", "2", "--interval", "100ms", "--sort", "subs")
	if r.code != 0 || strings.Count(r.stdout, "CID ADDRESS") != 2 || strings.Contains(r.stdout, "\x1b") || !strings.Contains(r.stdout, "pump?[31m") {
		t.Error(r) // no terminal, and what a client calls itself does not reach one as it is
	}
	for _, s := range []step{
		{name: "wrong password", args: []string{"top", "-m", "http://eve:no@" + monitor}, code: 1, stderr: "edgebus: http://" + monitor + ": the pages want a user and a password.*"},
		{name: "another's port", args: []string{"top", "-m", strings.TrimPrefix(url, "nats://")}, code: 1, stderr: "edgebus: no monitoring pages at http://" + hostPort(t, ports["nats"]) + ": what answers there does not speak HTTP; is that the port of the pages.*"},
		{name: "a port alone", args: []string{"top", "-m", "1"}, code: 1, stderr: "edgebus: no monitoring pages at http://127.0.0.1:1: .*connection refused; is that the port of the pages, which the server's log names.*"},
		{name: "no address", args: []string{"top", "-m", "ftp://eve:secret@x"}, code: 2, stderr: "edgebus: --monitor wants a URL such as http://127.0.0.1:8222, or a port of this machine\n"},
		{name: "order", args: []string{"top", "--sort", "fame"}, code: 2, stderr: "edgebus: --sort wants .*"},
	} {
		s.run(t, "")
	}
}

func TestPagesThatAreNone(t *testing.T) {
	ask := func(answer string) error {
		p, err := newPages("http://127.0.0.1:1/base/", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		p.dial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				request := make([]byte, 4096)
				n, _ := theirs.Read(request)
				if !strings.HasPrefix(string(request[:n]), "GET /base/varz HTTP/1.0\r\nHost: 127.0.0.1:1\r\n") {
					t.Errorf("asked %q", request[:n])
				}
				io.WriteString(theirs, answer)
				theirs.Close()
			}()
			return ours, nil
		}
		var v varzPage
		err = p.get(t.Context(), "/varz", &v)
		if err == nil && v.ServerName != "x" {
			t.Errorf("%q was read as %+v", answer, v)
		}
		return err
	}
	if err := ask("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"server_name\":\"x\"}"); err != nil {
		t.Error(err)
	}
	if err := ask("HTTP/1.0 401 Unauthorized\r\n\r\n"); !errors.Is(err, errPageRefuse) {
		t.Error(err)
	}
	for answer, want := range map[string]string{
		"":                                "EOF",
		"-ERR 'Unknown Protocol'\r\n":     "does not speak HTTP",
		"HTTP/1.0 200 OK\r\n\r\n<html>":   "its /varz is none of a NATS server",
		"HTTP/1.0 404 Gone\r\n\r\nno\nno": "the answer is 404 no",
		"HTTP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", maxPageHead): "headers have no end",
	} {
		if err := ask(answer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", answer, err, want)
		}
	}
}

func TestTrafficCountsBySubject(t *testing.T) {
	url := startBus(t).url
	start(t, edgebusBinary, "", nil, "pub", "t.{{.Count}}", "body {{.Count}}", "--count", "100000", "--sleep", "5ms", "-q", "-s", url)
	var table trafficTable
	for len(table.Rows) < 3 && t.Context().Err() == nil {
		r := run(t, "", "traffic", "t.>", "-s", url, "--count", "1", "--interval", "200ms", "--json", "--rows", "5")
		if err := json.Unmarshal([]byte(r.stdout), &table); err != nil || r.code != 0 {
			t.Fatalf("%v: %v", err, r)
		}
	}
	if one := table.Rows[0]; one.Msgs != 1 || one.Last != "body "+strings.TrimPrefix(one.Subject, "t.") || one.Least != len(one.Last) || table.Subjects < 3 || len(table.Rows) > 5 {
		t.Errorf("%+v", table)
	}
	step{name: "table", args: []string{"traffic", "t.>", "-s", url, "--count", "1", "--interval", "200ms"}, stdout: ".* msgs/s, .*SUBJECT .*t\\.\\d+ .*body \\d+.*", stderr: ".*Listening on t.>\n"}.run(t, "")
	step{name: "no subject", args: []string{"traffic"}, code: 2, stderr: "edgebus: traffic takes one subject.*"}.run(t, "")
}

func TestTrafficIsBounded(t *testing.T) {
	count := &trafficCount{subjects: make(map[string]*subjectCount), began: time.Now().Add(-time.Second)}
	now := time.Now()
	for i := range maxTrafficSubjects + 10 {
		count.add(&client.Msg{Subject: "s." + thousands(int64(i)), Data: make([]byte, 10*keptValue)}, now)
	}
	count.add(&client.Msg{Subject: "s.0", Data: []byte("\x1b[2J\xff")}, now)
	table := count.table(now, 2)
	if len(count.subjects) != maxTrafficSubjects || table.Others != 10 || len(table.Rows) != 2 || table.Rows[0].Msgs != 2 || len(table.Rows[1].Last) != keptValue {
		t.Errorf("%d subjects, %+v", len(count.subjects), table.Others)
	}
	if text := table.text(); strings.Contains(text, "\x1b") || !utf8.ValidString(text) {
		t.Errorf("%q", text)
	}
	if again := count.table(now.Add(time.Second), 2); again.Rate != 0 {
		t.Errorf("nothing came, and the rate is %v", again.Rate)
	}
}

// Who has mistaken the port is told the right one where a server of up says it.
func TestTopNamesThePortOfThePages(t *testing.T) {
	socket := socketPath(t)
	dir := filepath.Dir(socket)
	if err := os.WriteFile(filepath.Join(dir, "edgebus.conf"), fmt.Appendf(nil, "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\ncontrol_socket: %q\n", socket), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, edgebusBinary, "", nil, "-c", filepath.Join(dir, "edgebus.conf")).until("Server is ready")
	at := monitorNow(socket, patience)
	step{name: "wrong", args: []string{"top", "--dir", dir, "-m", "1"}, code: 1, stderr: "edgebus: no monitoring pages at http://127.0.0.1:1: .*; the server that is up on this machine has them at " + at + ": --monitor " + at + ", or leave it away\n"}.run(t, "")
	_, port, _ := strings.Cut(strings.TrimPrefix(at, "http://"), ":")
	step{name: "right", args: []string{"top", "-m", port, "--count", "1", "--interval", "50ms"}, stdout: ".*CID ADDRESS.*"}.run(t, "")
}

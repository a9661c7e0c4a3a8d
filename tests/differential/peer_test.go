//go:build linux

package differential

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// A peer is one client's connection, spoken by hand.
type peer struct {
	name   string
	conn   *net.TCPConn
	in     *bufio.Reader
	nonce  string
	info   string            // what of INFO is compared
	queues map[string]string // by sid: names of crowded queues
	asked  string            // reply subject of the last message that had one and came to this peer for certain
}

func greet(name string, conn *net.TCPConn) (*peer, error) {
	p := &peer{name: name, conn: conn, in: bufio.NewReader(conn), queues: make(map[string]string)}
	text, err := p.in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("waiting for INFO: %w", err)
	}
	p.info, p.nonce, err = infoOf(text)
	return p, err
}

// infoOf reads of an INFO line what a client goes by.
func infoOf(text string) (compared, nonce string, err error) {
	var info struct {
		Headers      bool   `json:"headers"`
		MaxPayload   int    `json:"max_payload"`
		Proto        int    `json:"proto"`
		AuthRequired bool   `json:"auth_required"`
		Nonce        string `json:"nonce"`
	}
	rest, ok := strings.CutPrefix(text, "INFO ")
	if !ok {
		return "", "", fmt.Errorf("no INFO: %q", text)
	}
	if err := json.Unmarshal([]byte(rest), &info); err != nil {
		return "", "", fmt.Errorf("INFO: %w", err)
	}
	compared = fmt.Sprintf("INFO headers %v, payload %d, proto %d, auth %v", info.Headers, info.MaxPayload, info.Proto, info.AuthRequired)
	return compared, info.Nonce, nil
}

// connect sends CONNECT and PING. In its text "seed" stands for the signature that it makes.
func (p *peer) connect(text string) error {
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	if seed, ok := fields["seed"].(string); ok {
		sig, err := signNonce(seed, p.nonce)
		if err != nil {
			return err
		}
		delete(fields, "seed")
		fields["sig"] = sig
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	p.send("CONNECT " + string(whole) + "\r\nPING\r\n")
	return nil
}

// send leaves errors to the next hear.
func (p *peer) send(text string) {
	p.conn.Write([]byte(text))
}

// leave ends our side and waits until the server has let go.
func (p *peer) leave() {
	p.conn.CloseWrite()
	io.Copy(io.Discard, p.conn)
	p.conn.Close()
}

// hear reads until PONG, or until the server has closed.
func (p *peer) hear() (lines []string, open bool, err error) {
	for {
		text, err := p.in.ReadString('\n')
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return lines, false, fmt.Errorf("%s waits for PONG: %w", p.name, err)
			}
			return lines, false, nil
		}
		text = strings.TrimRight(text, "\r\n")
		verb, _, _ := strings.Cut(text, " ")
		switch verb {
		case "PONG":
			return lines, true, nil
		case "PING":
			p.conn.Write([]byte("PONG\r\n"))
		case "INFO":
			info, _, err := infoOf(text)
			if err != nil {
				return lines, false, err
			}
			if info != p.info { // news; an INFO that repeats the first one is nobody's promise
				p.info = info
				lines = append(lines, p.name+": later "+info)
			}
		case "MSG", "HMSG":
			line, err := p.message(text)
			if err != nil {
				return lines, false, err
			}
			if line != "" {
				lines = append(lines, line)
			}
		default:
			lines = append(lines, p.name+": "+normalText(text))
		}
	}
}

// message reads the rest of MSG subject sid [reply] size, or of HMSG with a size more.
func (p *peer) message(text string) (string, error) {
	words := strings.Fields(text)
	sizes := 1
	if words[0] == "HMSG" {
		sizes = 2
	}
	if len(words) != 3+sizes && len(words) != 4+sizes {
		return "", fmt.Errorf("%q", text)
	}
	subject, sid, reply := words[1], words[2], strings.Join(words[3:len(words)-sizes], "")
	total, err := strconv.Atoi(words[len(words)-1])
	if err != nil || total < 0 || total > 1<<20 {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	body := make([]byte, total+len("\r\n"))
	if _, err := io.ReadFull(p.in, body); err != nil {
		return "", err
	}
	header := 0
	if sizes == 2 {
		if header, err = strconv.Atoi(words[len(words)-2]); err != nil || header > total {
			return "", fmt.Errorf("%q: %w", text, err)
		}
	}
	if strings.HasPrefix(subject, "$SYS.") {
		return "", nil // an event: it comes when it comes
	}
	if queue := p.queues[sid]; queue != "" {
		return fmt.Sprintf("one of %s: %q", queue, body[header:total]), nil // not every member takes headers
	}
	if strings.HasPrefix(string(body[:header]), "NATS/1.0 503") {
		sid = "?" // of several subscriptions that match, each server chooses its own
	}
	if reply != "" {
		p.asked = reply
	}
	return fmt.Sprintf("%s: %s %s %s [%s] %q %q", p.name, words[0], normalText(subject), sid, normalText(reply),
		normalHeader(string(body[:header])), body[header:total]), nil
}

package main

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/daemon"
)

// What commands print with --json, beside the tables of top and traffic and the findings of doctor. Messages
// are a line each, so that they can be taken as they come. Times are in seconds.

// A messageLine is a message.
type messageLine struct {
	Number      uint64        `json:"number"`
	Time        time.Time     `json:"time"` // of its arrival
	Subject     string        `json:"subject"`
	Reply       string        `json:"reply,omitempty"`
	Status      int           `json:"status,omitempty"`
	Description string        `json:"description,omitempty"`
	Header      client.Header `json:"header,omitempty"`
	RTT         float64       `json:"rtt,omitempty"`         // of an answer
	Data        *string       `json:"data,omitempty"`        // a body that is text
	Base64      []byte        `json:"data_base64,omitempty"` // one that is not
}

func newMessageLine(m *client.Msg, number uint64, withBody bool) *messageLine {
	line := &messageLine{
		Number: number, Time: time.Now(), Subject: m.Subject, Reply: m.Reply,
		Status: m.Status, Description: m.Description, Header: m.Header,
	}
	switch {
	case !withBody:
	case utf8.Valid(m.Data):
		text := string(m.Data)
		line.Data = &text
	default:
		line.Base64 = m.Data
	}
	return line
}

// lineOf is a value as a line of JSON.
func lineOf(value any) ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // subjects have > in them
	err := encoder.Encode(value)
	return []byte(b.String()), err
}

// A benchResult is what a run of bench has measured.
type benchResult struct {
	Subject     string        `json:"subject"`
	Publishers  int           `json:"publishers"`
	Subscribers int           `json:"subscribers"`
	Request     bool          `json:"request"`
	Msgs        int           `json:"msgs"`
	Size        int           `json:"size"`
	Published   *benchSpeed   `json:"published,omitempty"`
	Received    *benchSpeed   `json:"received,omitempty"` // of requests: answers
	Lost        int64         `json:"lost"`
	Latency     *benchLatency `json:"latency,omitempty"`
}

type benchSpeed struct {
	Msgs    int64   `json:"msgs"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"msgs_rate"`
	Bytes   float64 `json:"bytes_rate"`
}

type benchLatency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (b *bench) result() *benchResult {
	speed := func(count int64, took time.Duration) *benchSpeed {
		seconds := took.Seconds()
		return &benchSpeed{count, seconds, float64(count) / seconds, float64(count) * float64(b.size) / seconds}
	}
	r := &benchResult{
		Subject: b.subject, Publishers: b.pubs, Subscribers: b.subs, Request: b.request, Msgs: b.msgs, Size: b.size,
		Lost: max(0, b.want-b.received.Load()),
	}
	if !b.request {
		r.Published = speed(b.published.Load(), b.pubTook)
	}
	if b.want > 0 {
		r.Received = speed(b.received.Load(), b.subTook)
	}
	if all := b.latency(); all.total > 0 {
		at := func(share float64) float64 { return all.percentile(share).Seconds() }
		r.Latency = &benchLatency{at(0.5), at(0.9), at(0.99), at(0.999), all.max.Seconds()}
	}
	return r
}

// A checkResult is what check has found.
type checkResult struct {
	File     string     `json:"file,omitempty"`
	Valid    *bool      `json:"valid,omitempty"` // would a server start with the file
	Digest   string     `json:"digest,omitempty"`
	Errors   []string   `json:"errors,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
	Hubs     []checkHub `json:"hubs,omitempty"`
	Bus      *checkBus  `json:"bus,omitempty"`
}

// note keeps what was said of a file.
func (r *checkResult) note(path string, loaded *daemon.Loaded, err error) {
	valid := err == nil
	r.File, r.Valid = path, &valid
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			line = strings.TrimSpace(line)
			if place, text, isWarning := strings.Cut(line, ": warning: "); isWarning {
				r.Warnings = append(r.Warnings, place+": "+text)
			} else {
				r.Errors = append(r.Errors, line)
			}
		}
		return
	}
	r.Digest = loaded.Digest
	for _, warning := range loaded.Warnings {
		r.Warnings = append(r.Warnings, warning.String())
	}
}

type checkHub struct {
	URL         string  `json:"url"`
	Up          bool    `json:"up"`
	Hub         string  `json:"hub,omitempty"`
	HubVersion  string  `json:"hub_version,omitempty"`
	Address     string  `json:"address,omitempty"`
	Secure      bool    `json:"tls,omitempty"`
	Account     string  `json:"account,omitempty"`
	Compression string  `json:"compression,omitempty"`
	RTT         float64 `json:"rtt,omitempty"`
	Reason      string  `json:"reason,omitempty"`
	Remedy      string  `json:"remedy,omitempty"`
}

type checkBus struct {
	URL     string  `json:"url"`
	Name    string  `json:"server_name"`
	Version string  `json:"version"`
	RTT     float64 `json:"rtt"`
}

// An upResult is what up says of a server that runs.
type upResult struct {
	daemon.Status
	User     string `json:"user"`
	Password string `json:"password,omitempty"` // when it has just been made
}

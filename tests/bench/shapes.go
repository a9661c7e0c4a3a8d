package main

import (
	"fmt"
	"strings"
	"time"
)

// A shape is one way to load a server.
type shape struct {
	name, says string
	figures    []figure // what is shown of it, in this order
	more       bool     // not a row of the table
	run        func(t *target) (map[string]float64, error)

	span        time.Duration // how long it takes unless told, for shapes that take a given time
	config      string        // of the server; empty: none
	cgroupBytes int64         // memory of the control group that the server runs in; 0: none
	serverless  bool          // nothing is started
	othersFail  bool          // that a server compared with does not get through is a figure too
}

// A figure is one thing that a shape measures. Less is better, unless its name ends in /s.
type figure struct {
	name string
	// How it is judged, against min, what must be reached, and aim, where we want to be. With both
	// 0 it is only shown.
	by       basis
	min, aim float64
}

// basis is what a bar is compared with.
type basis int

const (
	ratio basis = iota // the figure divided by that of the better of the other servers
	value              // the figure itself
)

func choose(pick string) ([]shape, error) {
	var chosen []shape
	for name := range strings.SplitSeq(pick, ",") {
		found := false
		for _, s := range shapes() {
			prefix, some := strings.CutSuffix(name, "*")
			if name == "all" || name == "table" && !s.more || name == "more" && s.more || name == s.name || some && strings.HasPrefix(s.name, prefix) {
				chosen = append(chosen, s)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no shape %q; -list shows them", name)
		}
	}
	return chosen, nil
}

// cost is the figure of most shapes, with the rate beside it that nobody is judged by.
func cost(name string, min, aim float64) []figure {
	return []figure{{name, ratio, min, aim}, {name: "msgs/s"}}
}

// shapes is the table: every shape with what it must reach.
func shapes() []shape {
	return append([]shape{
		{name: "pub-128", says: "1 publisher, 128 bytes, nobody subscribed",
			figures: cost("cpu-ns/msg", 0.45, 0.20), run: flow{publishers: 1, size: 128, messages: 4_000_000}.run},
		{name: "1to1-16", says: "1 publisher, 1 subscriber, 16 bytes",
			figures: cost("cpu-ns/msg", 0.35, 0.25), run: flow{publishers: 1, subscribers: 1, size: 16, messages: 3_000_000}.run},
		{name: "1to1-128", says: "the same with 128 bytes",
			figures: cost("cpu-ns/msg", 0.40, 0.32), run: flow{publishers: 1, subscribers: 1, size: 128, messages: 2_000_000}.run},
		{name: "1to1-4k", says: "the same with 4 KiB",
			figures: cost("cpu-ns/msg", 0.65, 0.58), run: flow{publishers: 1, subscribers: 1, size: 4 << 10, messages: 250_000}.run},
		{name: "1to1-64k", says: "the same with 64 KiB",
			figures: cost("cpu-ns/msg", 0.80, 0.50), run: flow{publishers: 1, subscribers: 1, size: 64 << 10, messages: 20_000}.run},
		{name: "fanout-100", says: "1 publisher, 100 subscribers, 128 bytes",
			figures: cost("cpu-ns/msg", 0.65, 0.55), run: flow{publishers: 1, subscribers: 100, size: 128, messages: 40_000}.run},
		{name: "fanin-100", says: "100 publishers with a subject each, 8 messages a write, 1 subscriber on a wildcard, 128 bytes",
			figures: cost("cpu-ns/msg", 0.50, 0.35), run: flow{publishers: 100, subscribers: 1, size: 128, messages: 1_000_000, write: 8, subjects: true}.run},
		{name: "queue-8", says: "4 publishers, a queue group of 8, 128 bytes",
			figures: cost("cpu-ns/msg", 0.50, 0.35), run: flow{publishers: 4, subscribers: 8, size: 128, messages: 1_500_000, queue: true}.run},
		{name: "churn", says: "1to1-128 while 4 clients make and drop inbox subscriptions, 1,000 a second in all",
			figures: cost("cpu-ns/msg", 0.45, 0.32), run: runChurn},
		{name: "routes-100k", says: "100,000 subscriptions, 1 in 10 with a wildcard; messages to random ones of 200,000 subjects",
			figures: []figure{{"cpu-ns/msg", ratio, 0.60, 0.35}, {"rss-B/sub", ratio, 0.45, 0.25}, {name: "msgs/s"}}, run: runRoutes},
		{name: "reqrep", says: "1 requester, 1 responder, one request at a time, 16 bytes",
			figures: []figure{{"cpu-us/rtt", ratio, 0.60, 0.45}, {"rtt-us-p50", ratio, 0.90, 0.70}, {"rtt-us-p99", ratio, 1.0, 0.80}}, run: runRequests},
		{name: "reqrep-unique", says: "a reply subject of its own for each request, 64 outstanding",
			figures: []figure{{"cpu-us/rtt", ratio, 0.50, 0.35}, {name: "rtts/s"}}, run: runUniqueRequests},
		{name: "fanout-9k", says: "a broadcast to 9,000 clients every 100 ms, and a neighbour's round trips meanwhile",
			figures: []figure{{"cpu-ns/msg", ratio, 0.60, 0.35}, {"neighbour-us-p99", ratio, 1.0, 0.5}, {"rss-MB-end", value, 80, 40}}, run: runBroadcast},
		{name: "sensors-2k", says: "2,000 clients, each publishes 128 bytes twice a second, 1 subscriber on a wildcard",
			figures: []figure{{"cpu-us/msg", ratio, 0.60, 0.45}, {"latency-us-p99", ratio, 1.0, 0.70}, {"rss-B/sensor", value, 2000, 1300}}, run: runSensors},
		{name: "idle-10k", says: "10,000 clients with 2 subscriptions that have sent and received once and are silent",
			figures: []figure{{"rss-B/conn", value, 1500, 1000}, {"cpu-us/connect", ratio, 0.50, 0.30}}, run: runIdle},
		{name: "start", says: "a server just started, nobody connected",
			figures: []figure{{"rss-KiB", value, 8500, 6000}}, run: runStart},
		{name: "binary", says: "size of the stripped program for ARM v6",
			figures: []figure{{"MB", ratio, 0.72, 0.60}}, run: runBinary, serverless: true},
	}, furtherShapes()...)
}

// furtherShapes answer questions beside the table, some of them slowly.
func furtherShapes() []shape {
	return []shape{
		{name: "scale-in", says: "the same writes of 64 messages, one at a time, from 1, 10, 100 or 1,000 publishers to 1 subscriber: does a message cost more among many?",
			figures: scaling("publishers"), more: true, run: runScaleIn},
		{name: "scale-out", says: "the same writes of 4 messages, one at a time, from 1 publisher to 1, 10, 100 or 1,000 subscribers: does a delivery cost more among many?",
			figures: scaling("subscribers"), more: true, run: runScaleOut},
		{name: "permissions", says: "messages to 10,000 random subjects by a user with 20 rules, beside one with none",
			figures: []figure{{"ruled/free", value, 1.25, 1.10}, {name: "cpu-ns/msg-ruled"}, {name: "cpu-ns/msg-free"}}, more: true, run: runPermissions, config: ruledConfig()},
		{name: "flood", says: "a request a millisecond while another client publishes without pause, to nobody and to a subscriber",
			figures: []figure{{"unread-us-p99", ratio, 1.5, 1.5}, {"read-us-p99", ratio, 1.5, 1.5}, {name: "quiet-us-p99"}, {name: "unread-us-p50"}, {name: "read-us-p50"}},
			more:    true, run: runFlood, span: 5 * time.Minute},
		{name: "silent", says: "1,000 clients that do nothing but answer PINGs: what the server spends on them",
			figures: []figure{{"wake-ups/min", value, 120, 120}, {"cpu-percent", value, 0.2, 0.2}}, more: true, run: runSilent, span: 5 * time.Minute},
		{name: "cgroup", says: "1,000 clients, 10,000 messages a second, in a control group of 32 MiB: does memory grow?",
			figures: []figure{{"growth-KiB", value, 1024, 512}, {name: "peak-KiB"}, {name: "rss-KiB-end"}, {name: "cpu-us/msg"}},
			more:    true, run: runCgroup, span: 10 * time.Minute, cgroupBytes: 32 << 20, othersFail: true},
	}
}

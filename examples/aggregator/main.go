// Command aggregator sums up what many thermometers send, so that a hub gets a line a minute and
// not each reading: {"count":9,"sum":190.4} on aggregates.<sensor>.
//
//	aggregator -server nats://127.0.0.1:4222 -every 1m
//
// Several of them are one queue group: each reading goes to one, and what they publish adds up.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

type sum struct {
	Count int     `json:"count"`
	Sum   float64 `json:"sum"`
}

var mu sync.Mutex
var sums = map[string]sum{} // by sensor, since the last tick

func main() {
	server := flag.String("server", "nats://127.0.0.1:4222", "`URL`; user:password@ may stand before the host")
	every := flag.Duration("every", time.Minute, "`TIME` between two sums")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	conn, err := client.Connect(ctx, *server, client.Name("aggregator"), client.RetryFirstConnect())
	if err != nil {
		log.Fatal(err)
	}
	sub, err := conn.QueueSubscribe("sensors.*.temperature", "aggregators", add)
	if err != nil {
		log.Fatal(err)
	}
	for tick := time.Tick(*every); ctx.Err() == nil; publish(conn) {
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	sub.Drain(last) // the others have the work now; what came to us still counts
	publish(conn)
	conn.Drain(last)
}

func add(m *client.Msg) {
	const maxSensors = 10000 // bounds what strangers can make us remember
	sensor, reading := strings.Split(m.Subject, ".")[1], struct{ Celsius float64 }{}
	mu.Lock()
	defer mu.Unlock()
	s, known := sums[sensor]
	if json.Unmarshal(m.Data, &reading) == nil && (known || len(sums) < maxSensors) {
		sums[sensor] = sum{s.Count + 1, s.Sum + reading.Celsius}
	}
}

func publish(conn *client.Conn) {
	mu.Lock()
	defer mu.Unlock()
	for sensor, s := range sums {
		body, _ := json.Marshal(s)
		if err := conn.Publish("aggregates."+sensor, body); err != nil {
			log.Print(sensor, " is lost: ", err)
		}
	}
	clear(sums)
}

// Command thermometer publishes the temperature of the machine it runs on, until it is stopped:
//
//	thermometer -server nats://127.0.0.1:4222 -name attic
//
// publishes {"celsius":48.3,"at":"..."} on sensors.attic.temperature. A machine without a thermal
// zone, as most virtual ones are, has its temperature made up, and "made_up" says so.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

var (
	server = flag.String("server", "nats://127.0.0.1:4222", "`URL`; user:password@ may stand before the host")
	name   = flag.String("name", "thermometer", "this sensor's `NAME` in the subject")
	every  = flag.Duration("every", time.Second, "`TIME` between two readings")
	zone   = flag.String("zone", "/sys/class/thermal/thermal_zone0/temp", "`FILE` with thousandths of a degree")
)

type reading struct {
	Celsius float64   `json:"celsius"`
	At      time.Time `json:"at"`
	MadeUp  bool      `json:"made_up,omitempty"`
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A sensor is often switched on before its server, and outlives it: it tries until it is there.
	conn, err := client.Connect(ctx, *server, client.Name(*name), client.RetryFirstConnect(),
		client.OnError(func(_ *client.Conn, _ *client.Subscription, err error) { log.Print(err) }),
		client.OnDisconnect(func(_ *client.Conn, err error) { log.Print("no line, readings wait in memory: ", err) }),
		client.OnReconnect(func(*client.Conn) { log.Print("back again") }))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("publishing sensors.%s.temperature every %v", *name, *every)
	tick := time.Tick(*every)
	for {
		body, _ := json.Marshal(read(time.Now())) // a reading has nothing that JSON cannot hold
		if err := conn.Publish("sensors."+*name+".temperature", body); err != nil {
			log.Print("reading lost: ", err)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			conn.Drain(last) // what is still buffered goes out
			return
		}
	}
}

// read asks the kernel. Without an answer a day of twenty seconds, warm at noon, is made up.
func read(now time.Time) reading {
	text, err := os.ReadFile(*zone)
	if err == nil {
		if thousandths, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return reading{Celsius: float64(thousandths) / 1000, At: now}
		}
	}
	noon := math.Sin(2 * math.Pi * float64(now.UnixMilli()%20000) / 20000)
	return reading{Celsius: math.Round(10*(21+4*noon)) / 10, At: now, MadeUp: true}
}

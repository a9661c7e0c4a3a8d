// Command actuator is a valve that is turned by requests:
//
//	actuator -server nats://127.0.0.1:4222 -name north
//
// answers actuators.north.set, whose body is how far to open in percent, and actuators.north.get.
// It is a service, so `nats micro ls` lists it and `nats micro stats valve` shows how it fares:
//
//	edgebus request actuators.north.set 40
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/client/micro"
)

var (
	server = flag.String("server", "nats://127.0.0.1:4222", "`URL`; user:password@ may stand before the host")
	name   = flag.String("name", "north", "this valve's `NAME` in the subject")
)

// open is the valve: percent. Endpoints run side by side, so it is shared.
var open atomic.Int64

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	conn, err := client.Connect(ctx, *server, client.Name("valve "+*name), client.RetryFirstConnect())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	valve, err := micro.AddService(conn, micro.Config{
		Name: "valve", Version: "1.0.0", Description: "a valve that opens by percent",
		Metadata: map[string]string{"valve": *name},
	})
	if err != nil {
		log.Fatal(err)
	}
	// There is one valve of this name: a second instance would be a mistake, and no group hides it.
	group := valve.AddGroup("actuators."+*name, micro.NoQueueGroup())
	if err := group.AddEndpoint("set", set); err != nil {
		log.Fatal(err)
	}
	if err := group.AddEndpoint("get", get); err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
	// Requests that are here are answered before the program ends.
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := valve.Stop(last); err != nil {
		log.Print(err)
	}
	conn.Drain(last)
}

func set(r *micro.Request) {
	percent, err := strconv.ParseInt(string(r.Data()), 10, 64)
	if err != nil || percent < 0 || percent > 100 {
		r.Error("400", "want a whole number of percent, 0 to 100", nil)
		return
	}
	open.Store(percent)
	get(r)
}

func get(r *micro.Request) { r.RespondJSON(map[string]int64{"open": open.Load()}) }

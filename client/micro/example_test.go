package micro_test

import (
	"context"
	"log"
	"strconv"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/client/micro"
)

// A valve that is set by requests, and that `nats micro ls` lists.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.Connect(ctx, "nats://127.0.0.1:4222")
	if err != nil {
		log.Fatal(err)
	}
	valve, err := micro.AddService(conn, micro.Config{Name: "valve", Version: "1.0.0"})
	if err != nil {
		log.Fatal(err)
	}
	err = valve.AddGroup("valves.north").AddEndpoint("set", func(r *micro.Request) {
		percent, err := strconv.Atoi(string(r.Data()))
		if err != nil {
			r.Error("400", "want a number of percent", nil)
			return
		}
		r.RespondJSON(map[string]int{"open": percent})
	})
	if err != nil {
		log.Fatal(err)
	}
	<-conn.Done()
}

// Who is there, and what they answer to, without a registry.
func ExampleFind() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.Connect(ctx, "nats://127.0.0.1:4222")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	valves, err := micro.Find(ctx, conn, "valve")
	if err != nil {
		log.Fatal(err)
	}
	for _, each := range valves {
		for _, endpoint := range each.Endpoints {
			log.Print(each.ID, " answers on ", endpoint.Subject)
		}
	}
}

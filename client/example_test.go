package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// A device that reports a reading and obeys a setpoint, over whatever line there is.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.Connect(ctx, "nats://127.0.0.1:4222", client.Name("boiler"), client.RetryFirstConnect(),
		client.OnDisconnect(func(_ *client.Conn, err error) { log.Print("no line: ", err) }))
	if err != nil {
		log.Fatal(err)
	}
	_, err = conn.Subscribe("boiler.setpoint", func(m *client.Msg) {
		m.Respond([]byte("set to " + string(m.Data)))
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Publish("sensors.boiler.temp", []byte("71.5")); err != nil {
		log.Print(err)
	}
	answer, err := conn.Request(ctx, "weather.today", nil)
	switch {
	case errors.Is(err, client.ErrNoResponders):
		fmt.Println("nobody knows")
	case err == nil:
		fmt.Println(string(answer.Data))
	}
	if err := conn.Drain(ctx); err != nil {
		log.Print(err)
	}
}

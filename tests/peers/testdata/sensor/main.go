// Command sensor is the smallest program with the SDK's outbox, to be weighed and to run on ARM v6.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := client.Connect(ctx, os.Args[1], client.WithOutbox(client.OutboxOptions{}))
	if err == nil {
		err = conn.PublishSync(ctx, "sensors.v6", []byte("21.5"))
	}
	if err == nil {
		err = conn.Drain(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

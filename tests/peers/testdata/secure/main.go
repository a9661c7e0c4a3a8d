// Command secure has of the SDK what weighs: TLS, a credentials file, an outbox, replies.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/edgebus-io/edgebus/client"
)

func main() {
	ctx := context.Background()
	conn, err := client.Connect(ctx, os.Args[1], client.WithOutbox(client.OutboxOptions{}),
		client.RootCAs("ca.pem"), client.Creds("user.creds"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for m, err := range conn.RequestMany(ctx, &client.Msg{Subject: "who"}, client.Replies{}) {
		fmt.Println(m, err)
	}
	conn.Drain(ctx)
}

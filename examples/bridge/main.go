// Command bridge is a gateway between two sites that share no server: a plant and the office.
//
//	bridge -near nats://127.0.0.1:4222 -far nats://office:4222 -name plant7
//
// What the plant's sensors publish comes to the office as plant7.sensors.>; requests there to
// plant7.actuators.> are asked at the plant. Where both are edgebus or nats-server, a leaf node does
// this without a program; a bridge is for what should be chosen or changed on the way.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

var (
	near  = flag.String("near", "nats://127.0.0.1:4222", "`URL` of the plant")
	far   = flag.String("far", "", "`URL` of the office")
	name  = flag.String("name", "plant", "what the plant's subjects begin with at the office")
	limit = flag.Duration("limit", 2*time.Second, "`TIME` that the plant has to answer")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	office, plant := connect(ctx, "-far", *far), connect(ctx, "-near", *near)
	_, err := plant.Subscribe("sensors.>", func(m *client.Msg) {
		up := &client.Msg{Subject: *name + "." + m.Subject, Header: m.Header, Data: m.Data}
		if err := office.PublishMsg(up); err != nil {
			log.Print("reading lost: ", err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	// One question after the other: an actuator does one thing at a time anyway.
	_, err = office.QueueSubscribe(*name+".actuators.>", "bridge", func(m *client.Msg) { ask(plant, m) })
	if err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := errors.Join(plant.Drain(last), office.Drain(last)); err != nil {
		log.Print(err)
	}
}

func connect(ctx context.Context, option, url string) *client.Conn {
	conn, err := client.Connect(ctx, url, client.Name("bridge "+*name), client.RetryFirstConnect(),
		client.OnDisconnect(func(_ *client.Conn, err error) { log.Print("no line, readings are kept: ", err) }))
	if err != nil {
		log.Fatal(option, ": ", err)
	}
	return conn
}

// ask takes a question to the plant. One that nobody there answers fails here with the reason.
func ask(plant *client.Conn, m *client.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	down := &client.Msg{Subject: strings.TrimPrefix(m.Subject, *name+"."), Header: m.Header, Data: m.Data}
	answer, err := plant.RequestMsg(ctx, down)
	if err != nil {
		answer = &client.Msg{Header: client.Header{"Nats-Service-Error-Code": {"504"}, "Nats-Service-Error": {err.Error()}}}
	}
	if err := m.RespondMsg(answer); err != nil {
		log.Print("answer lost: ", err)
	}
}

//go:build linux

package peers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// A cluster tells its clients of its members; a client that knew one of them outlives it.
func TestSDKMovesToAServerItWasTold(t *testing.T) {
	ports := []int{process.FreePort(t), process.FreePort(t)}
	member := func(i int) *process.Server {
		config := fmt.Sprintf("cluster { name: c, listen: \"127.0.0.1:%d\", routes: [\"nats://127.0.0.1:%d\"] }", ports[i], ports[1-i])
		return process.Start(t, process.Options{Kind: process.Reference, Config: config})
	}
	one := member(0)
	told := make(chan []string, 8)
	conn := sdk(t, one.URL(), sdkQuick, client.OnServers(func(_ *client.Conn, added []string) { told <- added }))
	other := member(1)
	for added := receive(t, told, "announcement"); !slices.Contains(added, other.Addr()); {
		added = receive(t, told, "announcement of the other server")
	}
	got := must(conn.SubscribeSync("a", ""))
	sdkFlush(t, conn)
	one.Kill()
	process.Eventually(t, patience, "the other server", func() bool {
		return conn.Status() == client.Connected && conn.Server() == other.Addr()
	})
	if err := conn.PublishSync(sdkSoon(t), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if m, err := got.NextMsg(sdkSoon(t)); err != nil || string(m.Data) != "1" {
		t.Errorf("got %+v, %v", m, err)
	}
}

// Package micro makes a program findable: it speaks the NATS services protocol, so that tools
// such as `nats micro ls`, and any other program on the bus, see what runs where, what it
// answers and how it fares, without a registry.
//
//	service, err := micro.AddService(conn, micro.Config{Name: "valve", Version: "1.0.0"})
//	err = service.AddGroup("valves.north").AddEndpoint("set", func(r *micro.Request) {
//		if err := turn(r.Data()); err != nil {
//			r.Error("500", err.Error(), nil)
//			return
//		}
//		r.Respond([]byte("done"))
//	})
//	err = service.Stop(ctx)
//
// An endpoint is a subject that requests come to. Instances of a service share a queue group,
// so that each request is answered by one of them. Every instance answers on nine subjects more:
// $SRV.PING, $SRV.INFO and $SRV.STATS, each alone, with the service's name, and with name and id.
// A user whose permissions are narrow needs "$SRV.>" to subscribe.
//
// What a tool should know besides, as the schema of requests, goes into metadata: the protocol has
// no verb for it.
//
// # Goroutines
//
// A service owns one, which answers the nine subjects; Done is closed when it has ended. Each
// endpoint has the one of its subscription, so requests of one endpoint are handled one at a
// time. A handler that takes long hands the Request to a goroutine of its own: it may be answered
// from anywhere, at any time.
//
// All methods may be called from any goroutine. Lock order: Service.mu, then one endpoint's. None
// is held while handlers run.
package micro

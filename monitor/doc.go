// Package monitor serves the snapshots it is handed as JSON over HTTP.
//
// It imports nothing of ours: Pages is a list of functions, and whoever has something to show fills
// them in. The shapes are those of nats-server 2.15.2, key by key, because tools read them: nats-top,
// the Prometheus exporter, dashboards. The same shapes answer the requests on the system account.
//
// Paths: /varz /connz /subsz (/subscriptionsz) /accountz /accstatz /routez /gatewayz /leafz /jsz
// /healthz /stacksz /ipqueuesz /raftz /debug/vars. Pages are asked for with GET and
// HEAD, and nothing else is: no request has a body. Everything about one is bounded: its header, the
// time it may take, how many there are at once and on one connection. Nothing is listened on here;
// whoever wants pages hands over a listener.
//
// In order of travel: server.go (listeners, who may look), http.go (connections), request.go (reading
// one), pages.go (answering it), parameters.go (its query), then the shapes.
package monitor
